import { createStore, useStore } from "../components/store";

/** Something that is shown is not live any more. */
export interface Interruption {
  since: Date;
  /** A stream of it was refused: it does not come back by itself. */
  isRefused: boolean;
}

/** Null: all that is shown is live. */
export const interruption = createStore<Interruption | null>(null);

const cut = new Map<object, Interruption>();

/** Note whether a stream is live; one that is closed is, too. */
export function noteStream(stream: object, is: "live" | "cut" | "refused"): void {
  if (is === "live") cut.delete(stream);
  else cut.set(stream, { since: cut.get(stream)?.since ?? new Date(), isRefused: is === "refused" });
  const all = [...cut.values()];
  const now = interruption.get();
  const since = Math.min(...all.map((one) => one.since.getTime()));
  const isRefused = all.some((one) => one.isRefused);
  if (all.length === 0) interruption.set(null);
  else if (since !== now?.since.getTime() || isRefused !== now.isRefused) interruption.set({ since: new Date(since), isRefused });
}

export function useInterruption(): Interruption | null {
  return useStore(interruption);
}
