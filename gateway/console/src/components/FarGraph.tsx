import { type Edge, type Node, ViewportPortal } from "@xyflow/react";
import { useMemo } from "react";

export interface Box {
  id: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Where nodes stand in the picture; a node within another one comes after that. */
export function boxesOf(nodes: readonly Node[]): Map<string, Box> {
  const boxes = new Map<string, Box>();
  for (const { id, parentId, position, width = 0, height = 0 } of nodes) {
    const around = parentId === undefined ? undefined : boxes.get(parentId);
    boxes.set(id, { id, x: position.x + (around?.x ?? 0), y: position.y + (around?.y ?? 0), width, height });
  }
  return boxes;
}

/** What all of them stand in. */
export function boundsOf(boxes: Iterable<Box>): Omit<Box, "id"> {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const { x, y, width, height } of boxes) {
    [left, top] = [Math.min(left, x), Math.min(top, y)];
    [right, bottom] = [Math.max(right, x + width), Math.max(bottom, y + height)];
  }
  return { x: left, y: top, width: right - left, height: bottom - top };
}

/** The node at a point; of those within each other, the inner one. */
export function nodeAtPoint(boxes: Iterable<Box>, x: number, y: number): string | null {
  let found: string | null = null;
  for (const box of boxes) if (x >= box.x && x <= box.x + box.width && y >= box.y && y <= box.y + box.height) found = box.id;
  return found;
}

/** Those that stand in it as a whole. */
export function nodesInside(boxes: Iterable<Box>, { x, y, width, height }: Omit<Box, "id">): string[] {
  return [...boxes].filter((box) => box.x >= x && box.y >= y && box.x + box.width <= x + width && box.y + box.height <= y + height).map((box) => box.id);
}

function put(paths: Map<string, string[]>, name: string, path: string): void {
  const known = paths.get(name);
  if (known === undefined) paths.set(name, [path]);
  else known.push(path);
}

interface FarGraphProps<N extends Node> {
  nodes: readonly N[];
  edges: readonly Edge[];
  boxes: ReadonlyMap<string, Box>;
  /** Nodes of one class are one element. */
  classOf: (node: N) => string;
}

/** A large graph from afar, where no word can be read: all nodes of a kind are one shape, and so are all edges. */
export function FarGraph<N extends Node>({ nodes, edges, boxes, classOf }: FarGraphProps<N>) {
  const lines = useMemo(() => {
    const paths = new Map<string, string[]>();
    for (const { source, target, className = "" } of edges) {
      const [from, to] = [boxes.get(source), boxes.get(target)];
      if (from === undefined || to === undefined) continue;
      const [x, y, right, end] = [from.x + from.width, from.y + from.height / 2, to.x, to.y + to.height / 2];
      const bend = Math.max(30, (right - x) / 2);
      put(paths, className, `M${x} ${y}C${x + bend} ${y} ${right - bend} ${end} ${right} ${end}`);
    }
    return paths;
  }, [edges, boxes]);
  const shapes = useMemo(() => {
    const paths = new Map<string, string[]>();
    for (const node of nodes) {
      const box = boxes.get(node.id);
      if (box !== undefined) put(paths, classOf(node), `M${box.x} ${box.y}h${box.width}v${box.height}h${-box.width}z`);
    }
    return paths;
  }, [nodes, boxes, classOf]);
  return (
    <ViewportPortal>
      <svg className="graph-far" width={1} height={1} aria-hidden="true">
        {[...lines].map(([name, paths]) => (
          <path key={`line ${name}`} className={`graph-far-line ${name}`} d={paths.join("")} />
        ))}
        {[...shapes].map(([name, paths]) => (
          <path key={`node ${name}`} className={`graph-far-node ${name}`} d={paths.join("")} />
        ))}
      </svg>
    </ViewportPortal>
  );
}
