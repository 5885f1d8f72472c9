import { afterAll, afterEach, expect, test } from "vitest";
import { serve, stream } from "./support/server";
import { press, showPage, until } from "./support/show";

const TASK = "/gateway/v1/tasks/t";
const LETTER = "/gateway/v1/dead-letters/t";
const SCHEDULE = "/gateway/v1/schedules/s";
const AT = "2026-11-30T12:00:00Z";
const answers = new Map<string, unknown>([
  [SCHEDULE, { schedule_id: "s", name: "nightly", specs: [], timezone: "UTC", action: { type: "probe" }, overlap: "skip", jitter_seconds: 0, paused: false, next_at: null, tenant_id: "acme" }],
  [`${SCHEDULE}/next`, { times: [] }],
  [TASK, { task_id: "t", task_type: "probe", state: "failed", labels: {}, attempt: 1, max_attempts: 1, priority: 3, epoch: 1, created_at: AT, queued_at: null, finished_at: AT, attempts: [], waiting_because: null, not_before: null }],
  ["/api/v1/tasks/t", { progress: 0, message: null, error: "no such page", result: null }],
  [`${TASK}/why`, { starts: [], stage_now: "off", rule_now: "default" }],
]);
const gateway = await serve(({ path }, response) => {
  const [address = ""] = path.split("?");
  if (address.includes("/stream")) {
    stream(response)("tasks", { tasks: [], others: [] });
    return undefined;
  }
  const answer = answers.get(address);
  if (answer === 500) {
    response.writeHead(500).end();
    return undefined;
  }
  return answer === undefined ? null : JSON.stringify(answer);
});
afterAll(() => gateway.close());
let leave: () => void = () => undefined;
afterEach(() => leave());

const alerts = () => [...document.querySelectorAll("[role=alert]")].map((one) => one.querySelector("p")?.textContent);

test("a schedule's history that cannot be read says so, and can be read again", async () => {
  const { default: SchedulePage } = await import("../src/pages/schedule/SchedulePage");
  leave = await showPage(SchedulePage, "/schedules/$scheduleId", "/schedules/s");
  await until(() => expect(alerts()).toEqual(["There is no such thing."]));
  answers.set(`${SCHEDULE}/history`, { firings: [] });
  await press("Try again");
  await until(() => expect(document.querySelector("#schedule-history")).not.toBeNull());
  expect(alerts()).toEqual([]);
}, 30_000);

test("so do a task's links and the frames of its error; that there are none is no failure", async () => {
  const { default: TaskPage } = await import("../src/pages/task/TaskPage");
  leave = await showPage(TaskPage, "/tasks/$taskId", "/tasks/t");
  await until(() => expect(alerts()).toEqual(["There is no such thing."]));
  answers.set(`${TASK}/links`, { trace: "http://traces/t", temporal: null });
  await press("Try again");
  await until(() => expect(document.querySelector('[href="http://traces/t"]')).not.toBeNull());
  await until(() => expect(gateway.asked.filter((one) => one.path === LETTER)).toHaveLength(4));
  expect(alerts()).toEqual([]);
  leave();
  answers.set(LETTER, 500);
  leave = await showPage(TaskPage, "/tasks/$taskId", "/tasks/t");
  await until(() => expect(alerts()).toEqual(["HTTP 500"]));
}, 30_000);
