import { useEffect, useEffectEvent } from "react";
import { useNow } from "../../components/now";

/** Calls `then` once the gateway's clock has passed a moment by so much that what happens at it has happened (seconds). */
export function useMoment(at: string | null, then: () => void, after = 1): void {
  const isPast = useNow().getTime() > (at === null ? Infinity : Date.parse(at) + after * 1000);
  const call = useEffectEvent(then);
  useEffect(() => {
    if (isPast) call();
  }, [isPast, at]);
}
