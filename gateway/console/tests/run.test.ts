import { describe, expect, it } from "vitest";
import { NODE, layOut } from "../src/pages/run/layout";
import { type NodeState, type RunDocument, criticalPath, drawn, isOver, stateOf, withNodes, withRun } from "../src/pages/run/run";

const NOTHING = {
  position: null,
  kind: "task",
  type: "probe",
  status: "pending",
  waits_for: null,
  decided_by: null,
  reason: null,
  condition: null,
  task_id: null,
  run_id: null,
  undoes: false,
  attempt: 0,
  failures: 0,
  max_attempts: null,
  priority: null,
  progress: 0,
  message: null,
  error: null,
  answer: null,
  result_bytes: null,
  items: null,
  created_at: null,
  queued_at: null,
  started_at: null,
  finished_at: null,
  expires_at: null,
  worker_id: null,
} as const;

function node(name: string, more: Partial<NodeState> = {}): NodeState {
  return { ...NOTHING, path: name, node: name, ...more };
}

/** Seconds of the run's minute. */
function second(number: number): string {
  return `2026-11-28T09:30:${String(number).padStart(2, "0")}Z`;
}

function run(nodes: NodeState[], edges: [string, string][]): RunDocument {
  return {
    run_id: "r",
    dag: "d",
    version: 1,
    built_in: false,
    status: "running",
    progress: 0,
    error: null,
    tenant_id: "acme",
    project_id: null,
    parent_run_id: null,
    created_by: null,
    created_at: second(0),
    started_at: second(0),
    finished_at: null,
    run_url: "/gateway/v1/dag-runs/r",
    params: {},
    priority: 3,
    labels: {},
    starts: 1,
    deadline: null,
    parent_path: null,
    result: null,
    edges: edges.map(([source, target]) => ({ source, target })),
    nodes,
    is_cut: false,
  };
}

const done = (name: string, from: number, to: number, more: Partial<NodeState> = {}) =>
  node(name, { status: "completed", created_at: second(from), started_at: second(from), finished_at: second(to), ...more });

describe("a run that its stream tells", () => {
  it("takes changed nodes, new items and its own end", () => {
    let state = stateOf(run([node("fetch"), node("store")], [["fetch", "store"]]));
    state = withNodes(state, [node("fetch", { status: "running" }), node("fetch", { path: "fetch[0]", position: 0, status: "completed" })]);
    state = withRun(state, { ...state.run, status: "failed", progress: 50 });
    expect(drawn(state).map(({ name, state: { status } }) => [name, status])).toEqual([
      ["fetch", "running"],
      ["store", "pending"],
    ]);
    expect(isOver(state.run)).toBe(true);
    expect(state.run.edges).toHaveLength(1);
  });

  it("folds a fan-out, with counts of what was told since", () => {
    const items = { total: 3, opened: 2, running: 2, completed: 0, failed: 0 };
    const fan = node("fetch", { status: "running", items, created_at: second(1) });
    const item = (position: number, more: Partial<NodeState>) => node("fetch", { path: `fetch[${position}]`, position, ...more });
    const state = withNodes(stateOf(run([fan, item(0, { status: "running", started_at: second(2) })], [])), [
      item(0, { status: "completed", started_at: second(2), finished_at: second(5) }),
      item(1, { status: "failed", started_at: second(3), finished_at: second(4) }),
    ]);
    const [shown] = drawn(state);
    expect(shown?.counts).toEqual({ total: 3, completed: 1, failed: 1 });
    expect([shown?.start, shown?.end]).toEqual([Date.parse(second(2)), null]);
    const ended = drawn(withNodes(state, [{ ...fan, status: "failed" }]))[0];
    expect(ended?.end).toBe(Date.parse(second(5)));
  });

  it("believes the counts of a run whose items were left out", () => {
    const fan = node("fetch", { status: "running", items: { total: 900, opened: 900, running: 1, completed: 800, failed: 9 } });
    expect(drawn(stateOf(run([fan], [])))[0]?.counts).toEqual({ total: 900, completed: 800, failed: 9 });
  });

  it("does not draw what undoes a node", () => {
    expect(drawn(stateOf(run([node("a"), node("a", { path: "a~undo", undoes: true })], [])))).toHaveLength(1);
  });
});

describe("the critical path", () => {
  const edges: [string, string][] = [
    ["a", "slow"],
    ["a", "fast"],
    ["slow", "end"],
    ["fast", "end"],
    ["skipped", "end"],
  ];

  it("goes back from the last end over what was waited for longest", () => {
    const nodes = [done("a", 0, 1), done("slow", 1, 9), done("fast", 1, 2), done("end", 9, 10), done("skipped", 11, 11, { status: "skipped" })];
    expect([...criticalPath(drawn(stateOf(run(nodes, edges))))]).toEqual(["end", "slow", "a"]);
  });

  it("begins with what still runs", () => {
    const nodes = [done("a", 0, 1), node("slow", { status: "running", created_at: second(1), started_at: second(1) }), done("fast", 1, 7), node("end")];
    expect([...criticalPath(drawn(stateOf(run(nodes, edges))))]).toEqual(["slow", "a"]);
  });

  it("is nothing before anything has begun", () => {
    expect(criticalPath(drawn(stateOf(run([node("a")], [])))).size).toBe(0);
  });
});

describe("the layout", () => {
  it("puts what is waited for to the left, and nothing over another", () => {
    const names = ["a", "b", "c", "d"];
    const places = layOut(names, [
      { source: "a", target: "b" },
      { source: "a", target: "c" },
      { source: "b", target: "d" },
      { source: "c", target: "d" },
    ]);
    const x = names.map((name) => places[name]?.x ?? NaN);
    expect(x[0]).toBeLessThan(x[1] ?? NaN);
    expect(x[1]).toBe(x[2]);
    expect(x[3]).toBeGreaterThan(x[2] ?? NaN);
    expect(Math.abs((places.b?.y ?? NaN) - (places.c?.y ?? NaN))).toBeGreaterThanOrEqual(NODE.height);
  });

  it("lays out a chain of 500 nodes and a star of 250 edges", () => {
    const chain = Array.from({ length: 500 }, (_, place) => `n${place}`);
    const links = chain.slice(1).map((target, place) => ({ source: `n${place}`, target }));
    expect(Object.keys(layOut(chain, links))).toHaveLength(500);
    const leaves = Array.from({ length: 250 }, (_, place) => `leaf${place}`);
    const star = layOut(["hub", ...leaves], leaves.map((target) => ({ source: "hub", target })));
    expect(new Set(leaves.map((name) => star[name]?.y)).size).toBe(250);
  });

  it("does the same in a large graph, with edges over several ranks, two parts, and a node alone", () => {
    const names = [...Array.from({ length: 160 }, (_, place) => `n${place}`), "alone"];
    const links = names.slice(0, -1).flatMap((source, place) =>
      [1, 3, 9].map((step) => place + step).flatMap((to) => (Math.floor(to / 80) === Math.floor(place / 80) && to < 160 ? [{ source, target: `n${to}` }] : [])),
    );
    // Of each node every third has one edge only.
    const edges = links.filter(({ source, target }, place) => place % 3 !== 1 || Number(target.slice(1)) - Number(source.slice(1)) === 1);
    const places = layOut(names, edges);
    const placed = names.map((name) => places[name] ?? { x: NaN, y: NaN });
    for (const { source, target } of edges) expect(places[target]?.x ?? NaN).toBeGreaterThanOrEqual((places[source]?.x ?? NaN) + NODE.width);
    const over = placed.flatMap((one, at) =>
      placed.slice(at + 1).filter((other) => !(Math.abs(one.x - other.x) >= NODE.width || Math.abs(one.y - other.y) >= NODE.height)),
    );
    expect(over).toEqual([]);
    expect(Math.min(...placed.map(({ x }) => x))).toBe(0);
  });
});

it("takes no time for what was skipped", () => {
  const [skipped] = drawn(stateOf(run([node("rare", { status: "skipped", created_at: second(4) })], [])));
  expect([skipped?.start, skipped?.end]).toEqual([Date.parse(second(4)), Date.parse(second(4))]);
});
