import { Graph, type GraphLabel, layout } from "@dagrejs/dagre";
import { rankWithoutLabels } from "./ranks";

export interface Place {
  x: number;
  y: number;
}

export type Layout = Record<string, Place>;

/** Pixels of a node as it is drawn. */
export const NODE = { width: 190, height: 58 };
/** From so many nodes on, the better and slower way to find ranks takes too long. */
const MANY = 150;

const SMALL = { ranksep: 60, ranker: "network-simplex" };
// That a ranker may be a function its types do not say.
const LARGE = { ranksep: 120, ranker: rankWithoutLabels } as unknown as GraphLabel;

export interface Size {
  width: number;
  height: number;
}

export interface Edge {
  source: string;
  target: string;
}

/** A graph whose nodes may have graphs inside. */
export interface Nested {
  names: readonly string[];
  edges: readonly Edge[];
  inside: Readonly<Record<string, Nested>>;
}

/** Around what is inside of a node; above it stands the node itself. */
const PADDING = 14;

/** Where each node stands, its upper left corner; what it waits for is to its left. */
export function layOut(names: readonly string[], edges: readonly Edge[], sizes: Readonly<Record<string, Size>> = {}): Layout {
  const graph = new Graph();
  const isLarge = names.length > MANY;
  graph.setGraph({ rankdir: "LR", nodesep: 18, ...(isLarge ? LARGE : SMALL) });
  graph.setDefaultEdgeLabel(() => (isLarge ? { minlen: 0.5 } : {}));
  for (const name of names) graph.setNode(name, { ...(sizes[name] ?? NODE) });
  for (const { source, target } of edges) graph.setEdge(source, target);
  layout(graph);
  const places: Layout = {};
  for (const name of names) {
    const { x, y } = graph.node(name) as Place;
    const { width, height } = sizes[name] ?? NODE;
    places[name] = { x: x - width / 2, y: y - height / 2 };
  }
  return places;
}

/** The same for graphs inside of nodes: their names begin with the node's and a slash, and stand within it. */
export function layOutNested({ names, edges, inside }: Nested): { places: Layout; sizes: Record<string, Size> } {
  const sizes: Record<string, Size> = {};
  const within: Layout = {};
  const further: Record<string, Size> = {};
  for (const [name, graph] of Object.entries(inside)) {
    const found = layOutNested(graph);
    let [width, height] = [NODE.width, 0];
    for (const inner of graph.names) {
      const place = found.places[inner] ?? { x: 0, y: 0 };
      const size = found.sizes[inner] ?? NODE;
      width = Math.max(width, place.x + size.width);
      height = Math.max(height, place.y + size.height);
    }
    for (const [inner, { x, y }] of Object.entries(found.places)) {
      // Further in, places are within their own node already.
      const isDirect = graph.names.includes(inner);
      within[`${name}/${inner}`] = isDirect ? { x: x + PADDING, y: y + NODE.height + PADDING } : { x, y };
    }
    for (const [inner, size] of Object.entries(found.sizes)) further[`${name}/${inner}`] = size;
    sizes[name] = { width: width + 2 * PADDING, height: NODE.height + height + 2 * PADDING };
  }
  return { places: { ...layOut(names, edges, sizes), ...within }, sizes: { ...sizes, ...further } };
}
