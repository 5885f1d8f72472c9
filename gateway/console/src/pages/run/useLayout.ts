import { useEffect, useState } from "react";
import type { Layout, Nested, Size } from "./layout";
import type { Request } from "./layout.worker";
import { layoutWorker } from "./layoutWorker";

export interface Found {
  places: Layout;
  /** Of nodes that have a graph inside. */
  sizes: Record<string, Size>;
}

/** Where the nodes stand, worked out beside the page; null until it is known. The same `key` is the same graph. */
export function useLayout(key: string, graph: Nested): Found | null {
  const [found, setFound] = useState<(Found & { key: string }) | null>(null);
  useEffect(() => {
    const worker = layoutWorker();
    worker.addEventListener("message", ({ data }: MessageEvent<Found & { id: number }>) => {
      setFound({ key, places: data.places, sizes: data.sizes });
      worker.terminate();
    });
    worker.postMessage({ id: 0, names: [...graph.names], edges: [...graph.edges], inside: { ...graph.inside } } satisfies Request);
    return () => worker.terminate();
    // The key says all that the graph does.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [key]);
  return found?.key === key ? found : null;
}
