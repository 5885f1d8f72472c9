import { type Nested, layOutNested } from "./layout";

export interface Request {
  id: number;
  names: string[];
  edges: { source: string; target: string }[];
  /** Graphs inside of nodes, by the node's name. */
  inside?: Record<string, Nested>;
}

addEventListener("message", ({ data }: MessageEvent<Request>) => {
  postMessage({ id: data.id, ...layOutNested({ names: data.names, edges: data.edges, inside: data.inside ?? {} }) });
});
