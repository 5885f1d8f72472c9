import { useEffect, useState } from "react";
import type { Layout } from "./layout";
import type { Request } from "./layout.worker";

/** Where the nodes stand, worked out beside the page; null until it is known. The same `key` is the same graph. */
export function useLayout(key: string, names: readonly string[], edges: readonly { source: string; target: string }[]): Layout | null {
  const [found, setFound] = useState<{ key: string; places: Layout } | null>(null);
  useEffect(() => {
    const worker = new Worker(new URL("./layout.worker.ts", import.meta.url), { type: "module" });
    worker.addEventListener("message", ({ data }: MessageEvent<{ id: number; places: Layout }>) => {
      setFound({ key, places: data.places });
      worker.terminate();
    });
    worker.postMessage({ id: 0, names: [...names], edges: [...edges] } satisfies Request);
    return () => worker.terminate();
    // The key says all that names and edges do.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [key]);
  return found?.key === key ? found.places : null;
}
