import type { ServerResponse } from "node:http";
import { useCallback, useEffect, useState } from "react";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import type { RunState } from "../src/pages/run/run";
import { serve, stream } from "./support/server";
import { show, until } from "./support/show";

type Tell = (name: string, data: unknown) => void;

/** Streams by path, and how far each run is. */
const streams = new Map<string, Tell>();
const progress = new Map<string, number>();
const runOf = (id: string) => ({ run_id: id, status: "running", progress: progress.get(id) ?? 0, finished_at: null, nodes: [], edges: [] });
const gateway = await serve(({ path }, response: ServerResponse) => {
  const id = /dag-runs\/(\w+)/.exec(path)?.[1] ?? "";
  if (!path.includes("/stream")) return path.includes("dag-runs") ? JSON.stringify(runOf(id)) : null;
  const tell = stream(response);
  streams.set(path.replace("/gateway/v1/", ""), tell);
  if (id !== "") tell("state", runOf(id));
  else tell("tasks", { tasks: [], others: [] });
  return undefined;
});
afterAll(() => gateway.close());
let leave: () => void = () => undefined;
afterEach(() => leave());

const open = () => gateway.asked.flatMap(({ path, isOpen }) => (isOpen && path.includes("/stream") ? [path.replace("/gateway/v1/", "")] : []));

describe("runs inside of a run", () => {
  const shown = new Map<string, number>();

  function Page() {
    const [ids, setIds] = useState(["a", "b", "c", "d"]);
    const tell = useCallback((id: string, { run }: RunState) => {
      shown.set(id, run.progress);
      if (run.status === "completed") setIds((known) => known.filter((one) => one !== id));
    }, []);
    return <FollowInside ids={ids} tell={tell} />;
  }

  test("take three connections, however many they are", async () => {
    leave = await show(<Page />);
    await until(() => expect([...shown.keys()].sort()).toEqual(["a", "b", "c", "d"]));
    expect(open().sort()).toEqual(["dag-runs/a/stream", "dag-runs/b/stream", "tasks/stream?id=c&id=d"]);
    progress.set("d", 40);
    streams.get("tasks/stream?id=c&id=d")?.("tasks", { tasks: [{ task_id: "d" }], others: [] });
    await until(() => expect(shown.get("d")).toBe(40));
    streams.get("dag-runs/a/stream")?.("end", { ...runOf("a"), status: "completed" });
    await until(() => expect(open().sort()).toEqual(["dag-runs/b/stream", "dag-runs/c/stream", "tasks/stream?id=d"]));
  }, 15_000);
});

describe("a page that was opened in the background", () => {
  function Page() {
    useStream("gateway/v1/tasks/stream?state=failed", () => undefined);
    useEffect(() => void fetch("/gateway/v1/later").catch(() => undefined), []);
    return null;
  }

  test("follows nothing until it is seen", async () => {
    const seen = vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
    leave = await show(<Page />);
    await until(() => expect(gateway.asked.map((one) => one.path)).toContain("/gateway/v1/later"));
    expect(open()).toEqual([]);
    seen.mockReturnValue("visible");
    document.dispatchEvent(new Event("visibilitychange"));
    await until(() => expect(open()).toEqual(["tasks/stream?state=failed"]));
  }, 15_000);
});

const { FollowInside } = await import("../src/pages/run/FollowInside");
const { useStream } = await import("../src/streams/useStream");
