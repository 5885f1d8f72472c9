import { useEffect, useState } from "react";
import { NODE, type Layout } from "../run/layout";
import type { Request } from "../run/layout.worker";
import { layoutWorker } from "../run/layoutWorker";

interface Found {
  key: string;
  places: Layout;
}

interface Line {
  source: string;
  target: string;
}

/** So many new nodes at once, as when a text is pasted, wait for their places. */
const FEW = 20;
const NOWHERE: Layout = {};

/** Where the nodes stand, worked out beside the page. Until a new picture is ready, the old one stays, with a few new nodes beside what they wait for. */
export function usePlaces(key: string, names: readonly string[], edges: readonly Line[]): { places: Layout | null; isReady: boolean } {
  const [found, setFound] = useState<Found | null>(null);
  useEffect(() => {
    // Until the text has been read there is nothing to lay out, and the worker that is ready is kept for what comes.
    if (names.length === 0) return;
    const worker = layoutWorker();
    worker.addEventListener("message", ({ data }: MessageEvent<{ places: Layout }>) => {
      setFound({ key, places: data.places });
      worker.terminate();
    });
    worker.postMessage({ id: 0, names: [...names], edges: edges.map(({ source, target }) => ({ source, target })) } satisfies Request);
    return () => worker.terminate();
    // The key says all that names and edges do.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [key]);
  if (names.length === 0) return { places: NOWHERE, isReady: true };
  if (found === null) return { places: null, isReady: false };
  return found.key === key ? { places: found.places, isReady: true } : { places: withNew(found.places, names, edges), isReady: false };
}

function withNew(known: Layout, names: readonly string[], edges: readonly Line[]): Layout {
  const places: Layout = { ...known };
  const added = names.filter((name) => places[name] === undefined);
  if (added.length > FEW) return known;
  let row = 0;
  for (const name of added) {
    const before = edges.find((edge) => edge.target === name && places[edge.source] !== undefined);
    const beside = before === undefined ? undefined : places[before.source];
    places[name] = beside === undefined ? { x: 0, y: -(NODE.height + 20) * (row += 1) } : { x: beside.x + NODE.width + 60, y: beside.y + 24 };
  }
  return places;
}
