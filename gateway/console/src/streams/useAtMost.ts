import { useEffect, useEffectEvent, useRef } from "react";

/** What it gives calls `then`: at once, and again no sooner than so many milliseconds later, however often it is called. */
export function useAtMost(milliseconds: number, then: () => void): () => void {
  const call = useEffectEvent(then);
  const pause = useRef<{ timer: ReturnType<typeof setTimeout>; isWanted: boolean } | null>(null);
  const indirect = useRef<() => void>(() => undefined);
  useEffect(() => {
    const run = () => {
      call();
      const timer = setTimeout(() => {
        const isWanted = pause.current?.isWanted === true;
        pause.current = null;
        if (isWanted) run();
      }, milliseconds);
      pause.current = { timer, isWanted: false };
    };
    indirect.current = () => {
      if (pause.current === null) run();
      else pause.current.isWanted = true;
    };
    return () => {
      clearTimeout(pause.current?.timer);
      pause.current = null;
      indirect.current = () => undefined;
    };
  }, [milliseconds]);
  return () => indirect.current();
}
