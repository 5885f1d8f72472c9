import { history, isolateHistory } from "@codemirror/commands";
import type { EditorState, Extension, TransactionSpec } from "@codemirror/state";
import { changesOf } from "./changes";
import type { Change, Edit } from "./edit";

/** Everything can be undone, whichever side it was done on. */
export const unlimitedHistory: Extension = history({ minDepth: Number.POSITIVE_INFINITY });

/** An edit as a change of the text, undone in one step. Null: it cannot be made so. */
export function transactionOf(state: EditorState, edit: Edit): TransactionSpec | null {
  const changes = changesOf(state.doc.toString(), edit);
  return changes === null ? null : stepOf(changes);
}

export function stepOf(changes: readonly Change[]): TransactionSpec {
  return { changes, annotations: isolateHistory.of("full"), userEvent: "canvas" };
}
