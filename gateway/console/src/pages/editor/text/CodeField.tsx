import { acceptCompletion, completionKeymap, completionStatus } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { Prec } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";
import type { Suggestions } from "../model/completion";
import { completions } from "./completions";
import { useCode } from "./useCode";

interface CodeFieldProps {
  label: string;
  value: string;
  suggest: (before: string) => Suggestions | null;
  /** With Enter, and when the field is left. */
  commit: (value: string) => void;
  error?: string | null;
}

/** A line with completion of names. Another value from outside is another field: give it a key. */
export function CodeField({ label, value, suggest, commit, error = null }: CodeFieldProps) {
  const send = (text: string) => {
    if (text !== value) commit(text);
  };
  const { host } = useCode(value, { suggest, send }, (latest) => [
    history(),
    completions((text, position) => latest().suggest(text.slice(0, position)), 0),
    Prec.high(
      keymap.of([
        {
          key: "Enter",
          run(view) {
            if (completionStatus(view.state) === "active" && acceptCompletion(view)) return true;
            latest().send(view.state.doc.toString());
            return true;
          },
        },
      ]),
    ),
    keymap.of([...completionKeymap, ...historyKeymap, ...defaultKeymap]),
    EditorView.lineWrapping,
    EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false" }),
    EditorView.domEventHandlers({ blur: (_, view) => latest().send(view.state.doc.toString()) }),
  ]);
  return (
    <div className="field">
      <span className="editor-label" aria-hidden="true">
        {label}
      </span>
      <div className="editor-line" ref={host} />
      {error !== null && (
        <span className="editor-fault" role="alert">
          {error}
        </span>
      )}
    </div>
  );
}
