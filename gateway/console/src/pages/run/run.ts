import type { components } from "../../api/schema";

export type RunDocument = components["schemas"]["RunDocument"];
export type RunSummary = components["schemas"]["RunSummary"];
export type NodeState = components["schemas"]["NodeState"];

export interface Counts {
  total: number;
  completed: number;
  failed: number;
}

/** A node of the DAG as it is drawn: a fan-out is one, with counts. Times are in milliseconds since 1970. */
export interface DrawnNode {
  name: string;
  state: NodeState;
  needs: readonly string[];
  /** Of a fan-out, as far as it is opened. */
  counts: Counts | null;
  items: readonly NodeState[];
  /** Null until it begins, and until it ends. */
  start: number | null;
  end: number | null;
}

/** A run as its stream has told it. */
export interface RunState {
  run: RunDocument;
  nodes: ReadonlyMap<string, NodeState>;
}

export function stateOf(run: RunDocument): RunState {
  return { run, nodes: new Map(run.nodes.map((node) => [node.path, node])) };
}

export function withNodes(state: RunState, changed: readonly NodeState[]): RunState {
  const nodes = new Map(state.nodes);
  for (const node of changed) nodes.set(node.path, node);
  return { ...state, nodes };
}

export function withRun(state: RunState, run: RunSummary): RunState {
  return { ...state, run: { ...state.run, ...run } };
}

const ENDED: readonly NodeState["status"][] = ["completed", "failed", "cancelled", "skipped"];

export function isOver(run: RunSummary): boolean {
  return run.status === "completed" || run.status === "failed" || run.status === "cancelled";
}

function at(time: string | null): number | null {
  return time === null ? null : Date.parse(time);
}

function startOf(node: NodeState): number | null {
  return at(node.started_at ?? node.created_at);
}

/** The nodes of the DAG by name, with their items. */
export function drawn({ run, nodes }: RunState): DrawnNode[] {
  const needs = new Map<string, string[]>();
  for (const { source, target } of run.edges) needs.set(target, [...(needs.get(target) ?? []), source]);
  const items = new Map<string, NodeState[]>();
  for (const node of nodes.values()) {
    if (node.position === null || node.undoes) continue;
    const known = items.get(node.node);
    if (known === undefined) items.set(node.node, [node]);
    else known.push(node);
  }
  const result: DrawnNode[] = [];
  for (const state of nodes.values()) {
    if (state.position !== null || state.undoes) continue;
    const own = items.get(state.node) ?? [];
    const isFan = state.items !== null || own.length > 0;
    const starts = own.map(startOf).filter((time) => time !== null);
    const ends = own.map((item) => at(item.finished_at)).filter((time) => time !== null);
    const hasEnded = ENDED.includes(state.status);
    result.push({
      name: state.node,
      state,
      needs: needs.get(state.node) ?? [],
      counts: isFan ? countsOf(state, own) : null,
      items: own,
      start: isFan && starts.length > 0 ? Math.min(...starts) : startOf(state),
      // What was skipped took no time.
      end: isFan && hasEnded && ends.length > 0 ? Math.max(...ends) : (at(state.finished_at) ?? (hasEnded ? startOf(state) : null)),
    });
  }
  // Whatever order they were reached in, the picture stays as it is.
  return result.sort((one, other) => (one.name < other.name ? -1 : 1));
}

/** Items are told one by one, the counts of all with the fan-out alone; what is left out of a long run only those know. */
function countsOf(state: NodeState, items: readonly NodeState[]): Counts {
  const total = state.items?.total ?? items.length;
  const completed = items.filter((item) => item.status === "completed" || item.status === "skipped").length;
  const failed = items.filter((item) => item.status === "failed" || item.status === "cancelled").length;
  if (items.length >= (state.items?.opened ?? 0)) return { total, completed, failed };
  return { total, completed: state.items?.completed ?? 0, failed: state.items?.failed ?? 0 };
}

/** Names of the nodes that decided when the run got where it is: of each, what it waited for longest. */
export function criticalPath(nodes: readonly DrawnNode[]): ReadonlySet<string> {
  const known = new Map(nodes.map((node) => [node.name, node]));
  const timeOf = (node: DrawnNode) => (node.state.status === "skipped" ? null : (node.end ?? node.start));
  const path = new Set<string>();
  const latest = (names: Iterable<string>) => {
    let found: DrawnNode | undefined;
    for (const name of names) {
      const node = known.get(name);
      const time = node === undefined ? null : timeOf(node);
      if (node === undefined || time === null) continue;
      // What still runs holds up more than what has ended.
      const isLater = found === undefined || (node.end === null && found.end !== null) || (node.end === null) === (found.end === null) && time > (timeOf(found) ?? 0);
      if (isLater) found = node;
    }
    return found;
  };
  for (let node = latest(known.keys()); node !== undefined && !path.has(node.name); node = latest(node.needs)) path.add(node.name);
  return path;
}
