import { useState } from "react";

interface Act {
  act: (request: () => Promise<unknown>) => void;
  /** The same, unless there is no answer yet to what was done before: what is pressed twice is not done twice. */
  once: (request: () => Promise<unknown>) => void;
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
  const once = (request: () => Promise<unknown>) => {
    if (!isActing) act(request);
  };
  return { act, once, error };
}
