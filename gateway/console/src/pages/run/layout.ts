import { Graph, layout } from "@dagrejs/dagre";

export interface Place {
  x: number;
  y: number;
}

export type Layout = Record<string, Place>;

/** Pixels of a node as it is drawn. */
export const NODE = { width: 190, height: 58 };
/** From so many nodes on, the better and slower way to find ranks takes too long. */
const MANY = 150;

/** Where each node stands, its upper left corner; what it waits for is to its left. */
export function layOut(names: readonly string[], edges: readonly { source: string; target: string }[]): Layout {
  const graph = new Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 18, ranksep: 60, ranker: names.length > MANY ? "longest-path" : "network-simplex" });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const name of names) graph.setNode(name, { ...NODE });
  for (const { source, target } of edges) graph.setEdge(source, target);
  layout(graph);
  const places: Layout = {};
  for (const name of names) {
    const { x, y } = graph.node(name) as Place;
    places[name] = { x: x - NODE.width / 2, y: y - NODE.height / 2 };
  }
  return places;
}
