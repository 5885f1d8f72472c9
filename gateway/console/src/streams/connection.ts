import { createStore, useStore } from "../components/store";

/** Since when something that is shown is not live any more; null: all of it is. */
export const cutSince = createStore<Date | null>(null);

const cut = new Map<object, Date>();

/** Note whether a stream is cut; one that is closed is not. */
export function noteStream(stream: object, isCut: boolean): void {
  if (isCut) {
    if (!cut.has(stream)) cut.set(stream, new Date());
  } else cut.delete(stream);
  const times = [...cut.values()].map((at) => at.getTime());
  const first = times.length === 0 ? null : Math.min(...times);
  if (first !== (cutSince.get()?.getTime() ?? null)) cutSince.set(first === null ? null : new Date(first));
}

export function useCutSince(): Date | null {
  return useStore(cutSince);
}
