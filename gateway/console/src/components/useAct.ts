import { useState } from "react";

/** Does what a button asks for, and keeps what went wrong. `done`: something may have changed; left out: a stream tells. */
export function useAct(done?: () => void): { act: (request: () => Promise<unknown>) => void; error: unknown } {
  const [error, setError] = useState<unknown>(null);
  const act = (request: () => Promise<unknown>) => {
    setError(null);
    request().then(done, setError);
  };
  return { act, error };
}
