import { answers, askedFor, json, problem, session, stream } from "./support/gateway";
import { all, find, open, press } from "./support/page";
import { until } from "./support/until";
import { afterEach, beforeEach, expect, test } from "vitest";
import { resume } from "../src/api/session";
import SchedulePage from "../src/pages/schedule/SchedulePage";
import TaskPage from "../src/pages/task/TaskPage";

const TASK = "/gateway/v1/tasks/t";
const LETTER = "GET /gateway/v1/dead-letters/t";
const SCHEDULE = "/gateway/v1/schedules/s";
const AT = "2026-11-30T12:00:00Z";
const BODIES = {
  "/gateway/v1/session": session("t", { permitted: ["read", "observe"] }),
  [SCHEDULE]: { schedule_id: "s", name: "nightly", specs: [], timezone: "UTC", action: { type: "probe" }, overlap: "skip", jitter_seconds: 0, paused: false, next_at: null, tenant_id: "acme" },
  [`${SCHEDULE}/next`]: { times: [] },
  [TASK]: { task_id: "t", task_type: "probe", state: "failed", labels: {}, attempt: 1, max_attempts: 1, priority: 3, epoch: 1, created_at: AT, queued_at: null, finished_at: AT, attempts: [], waiting_because: null, not_before: null },
  "/api/v1/tasks/t": { progress: 0, message: null, error: "no such page", result: null },
  [`${TASK}/why`]: { starts: [], stage_now: "off", rule_now: "default" },
};

let close: () => void = () => undefined;
beforeEach(() => {
  for (const [path, body] of Object.entries(BODIES)) answers.set(`GET ${path}`, () => json(body));
  answers.set("GET /gateway/v1/tasks/stream", () => {
    const made = stream();
    made.tell("tasks", { tasks: [], others: [] });
    return made.response;
  });
  return resume();
});
afterEach(() => close());

const alerts = () => all("[role=alert]").map((one) => one.querySelector("p")?.textContent);

test("a schedule's history that cannot be read says so, and can be read again", async () => {
  ({ close } = open(SchedulePage, "/schedules/s", "/schedules/$scheduleId"));
  await until(() => expect(alerts()).toEqual(["not_found"]));
  answers.set(`GET ${SCHEDULE}/history`, () => json({ firings: [] }));
  await press("Try again");
  await find("#schedule-history");
  expect(alerts()).toEqual([]);
});

test("so do a task's links and the frames of its error; that there are none is no failure", async () => {
  ({ close } = open(TaskPage, "/tasks/t", "/tasks/$taskId"));
  await until(() => expect(alerts()).toEqual(["not_found"]));
  answers.set(`GET ${TASK}/links`, () => json({ trace: "http://traces/t", temporal: null }));
  await press("Try again");
  await find('[href="http://traces/t"]');
  await until(() => expect(askedFor(LETTER)).toHaveLength(4));
  expect(alerts()).toEqual([]);
  close();
  answers.set(LETTER, () => problem(500, "internal_error"));
  ({ close } = open(TaskPage, "/tasks/t", "/tasks/$taskId"));
  await until(() => expect(alerts()).toEqual(["internal_error"]));
});
