import { answers, asked, askedFor, json, session, stream } from "./support/gateway";
import { open } from "./support/page";
import { until } from "./support/until";
import { useCallback, useEffect, useState } from "react";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { resume } from "../src/api/session";
import { FollowInside } from "../src/pages/run/FollowInside";
import type { RunState } from "../src/pages/run/run";
import { useStream } from "../src/streams/useStream";

let close: () => void = () => undefined;
beforeEach(() => {
  answers.set("GET /gateway/v1/session", () => json(session("t")));
  return resume();
});
afterEach(() => {
  close();
  asked.length = 0;
});

/** The streams that are followed now, with what they are about. */
const followed = () =>
  asked
    .filter((one) => one.what.endsWith("/stream") && !one.isGivenUp())
    .map(({ what, query }) => `${what.replace("GET /gateway/v1/", "")}?${query.toString()}`)
    .sort();

describe("runs inside of a run", () => {
  const shown = new Map<string, number>();
  const progress = new Map<string, number>();
  const tell = new Map<string, (name: string, data: unknown) => void>();
  const runOf = (id: string) => ({ run_id: id, status: "running", progress: progress.get(id) ?? 0, finished_at: null, nodes: [], edges: [] });

  function streams(id: string, first: string, data: unknown) {
    return () => {
      const made = stream();
      tell.set(id, made.tell);
      made.tell(first, data);
      return made.response;
    };
  }

  function Page() {
    const [ids, setIds] = useState(["a", "b", "c", "d"]);
    const keep = useCallback((id: string, { run }: RunState) => {
      shown.set(id, run.progress);
      if (run.status === "completed") setIds((known) => known.filter((one) => one !== id));
    }, []);
    return <FollowInside ids={ids} tell={keep} />;
  }

  test("take three connections, however many they are", async () => {
    for (const id of ["a", "b", "c", "d"]) {
      answers.set(`GET /gateway/v1/dag-runs/${id}`, () => json(runOf(id)));
      answers.set(`GET /gateway/v1/dag-runs/${id}/stream`, streams(id, "state", runOf(id)));
    }
    answers.set("GET /gateway/v1/tasks/stream", streams("others", "tasks", { tasks: [], others: [] }));
    ({ close } = open(Page));
    await until(() => expect([...shown.keys()].sort()).toEqual(["a", "b", "c", "d"]));
    expect(followed()).toEqual(["dag-runs/a/stream?", "dag-runs/b/stream?", "tasks/stream?id=c&id=d"]);
    progress.set("d", 40);
    tell.get("others")?.("tasks", { tasks: [{ task_id: "d" }], others: [] });
    await until(() => expect(shown.get("d")).toBe(40));
    tell.get("a")?.("end", { ...runOf("a"), status: "completed" });
    await until(() => expect(followed()).toEqual(["dag-runs/b/stream?", "dag-runs/c/stream?", "tasks/stream?id=d"]));
  });
});

describe("a page that was opened in the background", () => {
  function Page() {
    useStream("gateway/v1/tasks/stream?state=failed", () => undefined);
    useEffect(() => void fetch("/gateway/v1/later").catch(() => undefined), []);
    return null;
  }

  test("follows nothing until it is seen", async () => {
    answers.set("GET /gateway/v1/tasks/stream", () => stream().response);
    const seen = vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
    ({ close } = open(Page));
    await until(() => expect(askedFor("GET /gateway/v1/later")).toHaveLength(1));
    expect(followed()).toEqual([]);
    seen.mockReturnValue("visible");
    document.dispatchEvent(new Event("visibilitychange"));
    await until(() => expect(followed()).toEqual(["tasks/stream?state=failed"]));
  });
});
