import { EditorState, type Extension } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { type RefObject, useEffect, useEffectEvent, useRef, useState } from "react";
import { codeLook } from "./theme";

/** What is typed over several lines. Browsers give such text a style of its own, which the Content-Security-Policy refuses. */
const typedOverLines = EditorView.domEventHandlers({
  beforeinput(event, view) {
    const { from, to } = view.state.selection.main;
    if (event.inputType !== "insertText" || event.data === null || to <= view.state.doc.lineAt(from).to) return false;
    view.dispatch(view.state.replaceSelection(event.data), { userEvent: "input.type", scrollIntoView: true });
    event.preventDefault();
    return true;
  },
});

/** So that keyboards reach a text that is only read, and scroll it. */
const isReached = EditorView.contentAttributes.of({ tabindex: "0" });

/**
 * CodeMirror in an element. It stands in a shadow of its own, where its styles need no `<style>`, which the
 * Content-Security-Policy forbids. `extensions` is asked once, and is given a way to the handlers of the latest rendering.
 */
export function useCode<Handlers>(text: string, handlers: Handlers, extensions: (latest: () => Handlers) => Extension): { host: RefObject<HTMLDivElement | null>; view: EditorView | null } {
  const host = useRef<HTMLDivElement>(null);
  const [view, setView] = useState<EditorView | null>(null);
  const latest = useEffectEvent(() => handlers);
  const first = useEffectEvent((now: () => Handlers) => EditorState.create({ doc: text, extensions: [codeLook, typedOverLines, isReached, extensions(now)] }));
  useEffect(() => {
    const place = host.current;
    if (place === null) return;
    const root = place.shadowRoot ?? place.attachShadow({ mode: "open" });
    const made = new EditorView({ state: first(() => latest()), parent: root, root });
    // From outside of the shadow, nobody sees that somebody types.
    const keep = (event: KeyboardEvent) => {
      if (!event.ctrlKey && !event.metaKey && !event.altKey && event.key !== "Tab" && event.key !== "Escape") event.stopPropagation();
    };
    place.addEventListener("keydown", keep);
    setView(made);
    return () => {
      place.removeEventListener("keydown", keep);
      made.destroy();
      setView(null);
    };
  }, []);
  return { host, view };
}
