import { useState } from "react";

interface Act {
  act: (request: () => Promise<unknown>) => void;
  /** Until there is an answer: what is pressed twice is not done twice. */
  isActing: boolean;
  error: unknown;
}

/** Does what a button asks for, and keeps what went wrong. `done`: something may have changed; left out: a stream tells. */
export function useAct(done?: () => void): Act {
  const [error, setError] = useState<unknown>(null);
  const [isActing, setActing] = useState(false);
  const act = (request: () => Promise<unknown>) => {
    setError(null);
    setActing(true);
    void request()
      .then(done, setError)
      .finally(() => setActing(false));
  };
  return { act, isActing, error };
}
