import { describe, expect, it } from "vitest";
import { type Member, conditionOf, fullness, linesOf } from "../src/pages/workers/fleet";

const member = (id: string, more: Partial<Member> = {}): Member => ({
  process_id: id,
  kind: "worker",
  pool: "A",
  backend: "temporal",
  host: "box/boot/1",
  pid: 1,
  version: "0.1.0",
  slots: 20,
  slots_used: 0,
  task_types: [],
  state: "alive",
  started_at: "2026-11-29T00:00:00Z",
  last_seen: null,
  lost_at: null,
  drain_at: null,
  drain_by: null,
  drain_why: null,
  ...more,
});

describe("the fleet", () => {
  it("is shown by pool and host, without those that are gone", () => {
    const lines = linesOf([
      member("a"),
      member("b", { host: "box/boot/2" }),
      member("c", { host: "other/boot/1" }),
      member("d", { pool: null }),
      member("e", { state: "lost" }),
    ]);
    expect(lines.map((line) => [line.host, line.pool, line.members.map((one) => one.process_id)])).toEqual([
      ["box", "A", ["a", "b"]],
      ["other", "A", ["c"]],
      ["box", null, ["d"]],
    ]);
  });

  it("has five steps of fullness; only nothing is empty, only all is full", () => {
    expect([0, 1, 6, 7, 13, 14, 19, 20, 25].map((used) => fullness(member("a", { slots_used: used })))).toEqual([0, 1, 1, 2, 2, 3, 3, 4, 4]);
  });

  it("drains as long as it is alive", () => {
    const drain_at = "2026-11-29T00:00:00Z";
    expect(conditionOf(member("a", { drain_at }))).toBe("draining");
    expect(conditionOf(member("a", { drain_at, state: "ended" }))).toBe("ended");
    expect(conditionOf(member("a"))).toBe("alive");
  });
});
