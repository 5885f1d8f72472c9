import type { Nested } from "./layout";
import { type DrawnNode, type RunState, criticalPath, drawn, isOver } from "./run";

/** A run as it is drawn, with the runs inside of its nodes that are opened. */
export interface OpenRun {
  state: RunState;
  nodes: readonly DrawnNode[];
  critical: ReadonlySet<string>;
  /** By the name of the node. */
  inside: ReadonlyMap<string, OpenRun>;
}

/** `runs`: those that are known, by id; `opened`: paths of nodes, `outer/inner`. */
export function openRun(state: RunState, runs: ReadonlyMap<string, RunState>, opened: ReadonlySet<string>, prefix = ""): OpenRun {
  const nodes = drawn(state);
  const inside = new Map<string, OpenRun>();
  for (const { name, state: node } of nodes) {
    const run = node.run_id === null || !opened.has(prefix + name) ? undefined : runs.get(node.run_id);
    if (run !== undefined) inside.set(name, openRun(run, runs, opened, `${prefix}${name}/`));
  }
  return { state, nodes, critical: criticalPath(nodes), inside };
}

/** Ids of the runs that are opened and go on, as far as those around them are known. One that has ended goes on again with its node. */
export function openedRuns(run: OpenRun, opened: ReadonlySet<string>, prefix = ""): string[] {
  return run.nodes.flatMap(({ name, state }) => {
    if (state.run_id === null || !opened.has(prefix + name)) return [];
    const inner = run.inside.get(name);
    const told = inner?.state.run;
    const hasEnded = told !== undefined && isOver(told) && told.finished_at === state.finished_at;
    return [...(hasEnded ? [] : [state.run_id]), ...(inner === undefined ? [] : openedRuns(inner, opened, `${prefix}${name}/`))];
  });
}

/** The node with this path, and the run that it belongs to. */
export function nodeAt(run: OpenRun, path: string): { run: OpenRun; node: DrawnNode } | null {
  const node = run.nodes.find(({ name }) => name === path);
  if (node !== undefined) return { run, node };
  for (const [name, inner] of run.inside) {
    const found = path.startsWith(`${name}/`) ? nodeAt(inner, path.slice(name.length + 1)) : null;
    if (found !== null) return found;
  }
  return null;
}

/** What is laid out. */
export function graphOf(run: OpenRun): Nested {
  return {
    names: run.nodes.map(({ name }) => name),
    edges: run.state.run.edges.map(({ source, target }) => ({ source, target })),
    inside: Object.fromEntries([...run.inside].map(([name, inner]) => [name, graphOf(inner)])),
  };
}
