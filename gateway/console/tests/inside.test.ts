import { describe, expect, it } from "vitest";
import { graphOf, nodeAt, openRun, openedRuns } from "../src/pages/run/inside";
import { NODE, layOutNested } from "../src/pages/run/layout";
import { type NodeState, type RunDocument, type RunState, stateOf, withNodes, withRun } from "../src/pages/run/run";

function run(id: string, nodes: Record<string, string | null>): RunState {
  const states = Object.entries(nodes).map(([name, runId]) => ({
    path: name,
    node: name,
    position: null,
    undoes: false,
    kind: runId === null ? "task" : "dag",
    status: "running",
    run_id: runId,
    items: null,
  })) as unknown as NodeState[];
  const names = Object.keys(nodes);
  const edges = names.slice(1).map((target, place) => ({ source: names[place] ?? "", target }));
  return stateOf({ run_id: id, nodes: states, edges } as unknown as RunDocument);
}

const OUTER = run("1", { a: null, inner: "2", z: null });
const RUNS = new Map([
  ["2", run("2", { b: null, deep: "3" })],
  ["3", run("3", { c: null })],
]);

describe("runs inside of nodes", () => {
  it("are shown where they are opened, and asked for as soon as those around them are known", () => {
    const opened = new Set(["inner", "inner/deep", "deep"]);
    expect(openedRuns(openRun(OUTER, new Map(), opened), opened)).toEqual(["2"]);
    const open = openRun(OUTER, RUNS, opened);
    expect(openedRuns(open, opened)).toEqual(["2", "3"]);
    expect(nodeAt(open, "inner/deep/c")?.run.state.run.run_id).toBe("3");
    expect(nodeAt(open, "inner")?.run.state.run.run_id).toBe("1");
    expect(nodeAt(open, "inner/nothing")).toBeNull();
    const closed = openRun(OUTER, RUNS, new Set(["inner/deep"]));
    expect([...closed.inside.keys()]).toEqual([]);
  });

  it("are followed until they end, and again when their node goes on", () => {
    const opened = new Set(["inner"]);
    const end = "2026-11-28T09:30:00Z";
    const outer = (finished: string | null) => withNodes(OUTER, [{ ...OUTER.nodes.get("inner"), finished_at: finished } as NodeState]);
    const inner = run("2", { b: null });
    const ended = new Map([["2", withRun(inner, { ...inner.run, status: "failed", finished_at: end })]]);
    expect(openedRuns(openRun(outer(null), ended, opened), opened)).toEqual(["2"]);
    expect(openedRuns(openRun(outer(end), ended, opened), opened)).toEqual([]);
    expect(openedRuns(openRun(outer("2026-11-28T09:31:00Z"), ended, opened), opened)).toEqual(["2"]);
  });

  it("stand within their node, and nothing stands on anything", () => {
    const { places, sizes } = layOutNested(graphOf(openRun(OUTER, RUNS, new Set(["inner", "inner/deep"]))));
    expect(Object.keys(places).sort()).toEqual(["a", "inner", "inner/b", "inner/deep", "inner/deep/c", "z"]);
    const sizeOf = (path: string) => sizes[path] ?? NODE;
    for (const [path, place] of Object.entries(places)) {
      const around = path.split("/").slice(0, -1).join("/");
      if (around === "") continue;
      expect(place.x).toBeGreaterThan(0);
      expect(place.y).toBeGreaterThanOrEqual(NODE.height);
      expect(place.x + sizeOf(path).width).toBeLessThan(sizeOf(around).width);
      expect(place.y + sizeOf(path).height).toBeLessThan(sizeOf(around).height);
    }
    expect((places.a?.x ?? 0) + NODE.width).toBeLessThan(places.inner?.x ?? 0);
    expect((places.inner?.x ?? 0) + sizeOf("inner").width).toBeLessThan(places.z?.x ?? 0);
  });
});
