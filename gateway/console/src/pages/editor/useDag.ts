import { redo, redoDepth, undo, undoDepth } from "@codemirror/commands";
import type { EditorView } from "@codemirror/view";
import { useCallback, useEffect, useRef, useState } from "react";
import { type Definition, readDefinition } from "./model/definition";
import type { Edit } from "./model/edit";
import { stepOf } from "./model/history";
import { LONG, Reader } from "./model/reader";

/** Milliseconds after the last change before a long text is read. */
const REST = 300;

export interface Dag {
  text: string;
  /** Of the last text that was YAML; `isOld`: the text has changed since. */
  definition: Definition;
  isOld: boolean;
  /** Syntax faults of the text as it is. */
  latest: Definition;
  view: EditorView | null;
  canUndo: boolean;
  canRedo: boolean;
  /** False: it cannot be made on the canvas. */
  edit: (edit: Edit) => Promise<boolean>;
  /** The whole text becomes another one, in one step that can be undone. */
  replace: (text: string) => void;
  undo: () => void;
  redo: () => void;
  changed: (text: string) => void;
  opened: (view: EditorView | null) => void;
}

const NOTHING = readDefinition("");

/** The text, and what is shown of it. Everything else comes from there. */
export function useDag(initial: string): Dag {
  const [text, setText] = useState(initial);
  const [view, setView] = useState<EditorView | null>(null);
  const [read, setRead] = useState<{ text: string; latest: Definition; definition: Definition } | null>(null);
  const reader = useRef<Reader>(null);
  const accept = useCallback((of: string, latest: Definition) => {
    setRead((known) => ({ text: of, latest, definition: latest.isRead || known === null ? latest : known.definition }));
  }, []);
  useEffect(() => {
    const made = new Reader();
    reader.current = made;
    return () => made.close();
  }, []);
  useEffect(() => {
    let isOver = false;
    const found = reader.current?.read(text.length > 0 ? text : "");
    if (found === undefined) return;
    if (found instanceof Promise) {
      void found.then((latest) => {
        if (!isOver) accept(text, latest);
      });
    } else {
      accept(text, found);
    }
    return () => {
      isOver = true;
    };
  }, [text, accept]);

  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const changed = useCallback((now: string) => {
    clearTimeout(timer.current);
    if (now.length < LONG) setText(now);
    else timer.current = setTimeout(() => setText(now), REST);
  }, []);

  const make = useCallback(
    async (wanted: Edit) => {
      if (view === null || reader.current === null || view.state.readOnly) return false;
      const before = view.state.doc;
      const found = reader.current.changes(before.toString(), wanted);
      const changes = found instanceof Promise ? await found : found;
      // Somebody typed meanwhile: what was worked out does not fit any more.
      if (changes === null || !view.state.doc.eq(before)) return false;
      if (changes.length > 0) view.dispatch({ ...stepOf(changes), scrollIntoView: false });
      return true;
    },
    [view],
  );
  // One after the other: each is worked out on the text that the one before has left.
  const queue = useRef<Promise<unknown>>(Promise.resolve());
  const edit = useCallback(
    (wanted: Edit) => {
      const made = queue.current.then(() => make(wanted));
      queue.current = made.catch(() => undefined);
      return made;
    },
    [make],
  );
  const replace = useCallback(
    (now: string) => {
      view?.dispatch(stepOf([{ from: 0, to: view.state.doc.length, insert: now }]));
    },
    [view],
  );
  const shown = read?.definition ?? NOTHING;
  return {
    text,
    definition: shown,
    latest: read?.latest ?? NOTHING,
    isOld: read?.text !== text || !read.latest.isRead,
    view,
    canUndo: view !== null && undoDepth(view.state) > 0,
    canRedo: view !== null && redoDepth(view.state) > 0,
    edit,
    replace,
    undo: () => view !== null && void undo(view),
    redo: () => view !== null && void redo(view),
    changed,
    opened: setView,
  };
}
