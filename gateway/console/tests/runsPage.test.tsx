import { answers, askedFor, json, session, stream } from "./support/gateway";
import { find, open, press } from "./support/page";
import { until } from "./support/until";
import { afterEach, beforeEach, expect, test } from "vitest";
import { resume } from "../src/api/session";
import RunsPage from "../src/pages/runs/RunsPage";

const RUNS = "GET /gateway/v1/dag-runs";
const run = (id: string) => ({ run_id: id, dag: id, version: 1, status: "running", progress: 0, tenant_id: "acme", created_at: "2026-11-30T12:00:00Z", started_at: null, finished_at: null });

let close: () => void = () => undefined;
let news = stream();
beforeEach(() => {
  news = stream();
  answers.set("GET /gateway/v1/session", () => json(session("t")));
  answers.set("GET /gateway/v1/tasks/stream", () => news.response);
  answers.set(RUNS, ({ url }) => json(url.includes("cursor") ? { runs: [run("old")], next_cursor: null } : { runs: [run("new")], next_cursor: "1" }));
  news.tell("tasks", { tasks: [], others: [] });
  return resume();
});
afterEach(() => close());

test("a change is read while one page is shown; of more pages, it is pointed out", async () => {
  ({ close } = open(RunsPage));
  await find("td", "new");
  const first = askedFor(RUNS).length;
  news.tell("tasks", { tasks: [{ task_id: "new" }], others: [] });
  await until(() => expect(askedFor(RUNS).length).toBeGreaterThan(first));
  await press("Older runs");
  await find("td", "old");
  const all = askedFor(RUNS).length;
  news.tell("tasks", { tasks: [{ task_id: "new" }], others: [] });
  await find("[role=status]", "Something has changed");
  expect(askedFor(RUNS)).toHaveLength(all);
  await press("Read again");
  await until(() => expect(askedFor(RUNS)).toHaveLength(all + 2));
});
