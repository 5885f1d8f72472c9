import { useEffect, useEffectEvent } from "react";
import { useNow } from "../../components/now";

/** By then what happens at a time has happened (milliseconds). */
const AFTER = 1000;
/** A jitter may fire much later, and nothing tells of it. */
const AGAIN = 15_000;

/** Calls `then` when the first next time of these schedules has passed by the gateway's clock, and again while it stays the first. */
export function useNextTime(schedules: readonly { paused: boolean; next_at: string | null }[], then: () => void): void {
  // That of a paused one is of no account, and may be long past.
  const first = Math.min(...schedules.map(({ paused, next_at }) => (paused || next_at === null ? Infinity : Date.parse(next_at))));
  const turn = Math.floor((useNow().getTime() - first - AFTER) / AGAIN);
  const call = useEffectEvent(then);
  useEffect(() => {
    if (turn >= 0) call();
  }, [turn, first]);
}
