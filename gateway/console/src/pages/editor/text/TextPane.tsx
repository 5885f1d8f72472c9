import { closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, historyKeymap } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { bracketMatching, foldGutter, foldKeymap, indentOnInput } from "@codemirror/language";
import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { EditorState } from "@codemirror/state";
import { EditorView, drawSelection, highlightActiveLine, highlightActiveLineGutter, highlightSpecialChars, keymap, lineNumbers } from "@codemirror/view";
import { useEffect, useEffectEvent } from "react";
import { useTexts } from "../../../i18n/catalogue";
import { unlimitedHistory } from "../model/history";
import type { Suggestions } from "../model/completion";
import { editorTexts } from "../texts";
import { completions } from "./completions";
import { useCode } from "./useCode";

export interface Mark {
  /** From 1; null: it is known for no line. */
  line: number | null;
  column: number | null;
  message: string;
}

interface TextPaneProps {
  initial: string;
  canEdit: boolean;
  marks: readonly Mark[];
  suggest: (text: string, position: number) => Suggestions | null;
  /** Each change, whoever made it. */
  changed: (text: string) => void;
  /** Where the reader is. */
  moved: (position: number) => void;
  opened: (view: EditorView | null) => void;
}

/** The text of the DAG, which is the one thing that is edited. */
export function TextPane({ initial, canEdit, marks, suggest, changed, moved, opened }: TextPaneProps) {
  const t = useTexts(editorTexts);
  const tellOpened = useEffectEvent(opened);
  const { host, view } = useCode(initial, { suggest, changed, moved }, (latest) => [
    lineNumbers(),
    lintGutter(),
    foldGutter(),
    highlightActiveLine(),
    highlightActiveLineGutter(),
    drawSelection(),
    // Marks that turn a text round would show another one than is saved.
    highlightSpecialChars(),
    indentOnInput(),
    bracketMatching(),
    closeBrackets(),
    highlightSelectionMatches(),
    unlimitedHistory,
    yaml(),
    completions((text, position) => latest().suggest(text, position)),
    // Not the tab key, which leads on to the next part of the page; Ctrl+] and Ctrl+[ indent.
    keymap.of([...closeBracketsKeymap, ...completionKeymap, ...lintKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...defaultKeymap]),
    EditorState.readOnly.of(!canEdit),
    EditorView.lineWrapping,
    EditorView.contentAttributes.of({ "aria-label": t.text, spellcheck: "false" }),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) latest().changed(update.state.doc.toString());
      if (update.selectionSet && update.view.hasFocus && !update.docChanged) latest().moved(update.state.selection.main.head);
    }),
  ]);
  useEffect(() => tellOpened(view), [view]);
  useEffect(() => {
    if (view === null) return;
    const found = marks.map((mark) => diagnosticOf(mark, view.state)).toSorted((one, other) => one.from - other.from);
    view.dispatch(setDiagnostics(view.state, found));
  }, [view, marks]);
  return <div className="editor-code" ref={host} />;
}

function diagnosticOf({ line, column, message }: Mark, state: EditorState): Diagnostic {
  const found = state.doc.line(Math.max(1, Math.min(line ?? 1, state.doc.lines)));
  const from = Math.min(found.to, found.from + Math.max(0, (column ?? 1) - 1));
  return { from, to: found.to, severity: "error", message };
}
