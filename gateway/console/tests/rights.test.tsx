import { answers, asked, askedFor, json, session } from "./support/gateway";
import { all, enter, field, find, open, press } from "./support/page";
import { until } from "./support/until";
import { afterEach, expect, test } from "vitest";
import { may, sessionState } from "../src/api/session";
import CallbacksPage from "../src/pages/callbacks/CallbacksPage";
import { RunActions } from "../src/pages/run/RunActions";
import { ScheduleActions } from "../src/pages/schedule/ScheduleActions";
import { Actions } from "../src/pages/task/Actions";

/** Ann owns acme, looks at other, and works in its project p. */
const ANN = {
  permitted: ["read", "steer", "schedule", "redrive", "secrets"],
  permitted_by_tenant: { acme: ["read", "steer", "schedule", "redrive", "secrets"], other: ["read"] },
  permitted_by_project: { p: ["read", "steer", "schedule", "redrive"] },
};
const OPERATION = "POST /gateway/v1/operations";

let close: () => void = () => undefined;
afterEach(() => {
  close();
  asked.length = 0;
});

function signedIn(more: object = {}) {
  const view = session("t", { ...ANN, ...more });
  sessionState.set({ is: "signed in", session: view });
  return view;
}

const buttons = () => all("button").map((one) => one.textContent);
const task = (tenant_id: string, project_id: string | null, state = "queued") => ({ task_id: "t", tenant_id, project_id, state, priority: 3, not_before: null }) as never;

test.each([
  [undefined, ["read", "steer", "schedule", "redrive", "secrets"]],
  [{ tenant_id: "acme", project_id: "q" }, ["read", "steer", "schedule", "redrive", "secrets"]],
  [{ tenant_id: "other" }, ["read"]],
  [{ tenant_id: "other", project_id: "p" }, ["read", "steer", "schedule", "redrive"]],
  [{ tenant_id: null }, ["read", "steer", "schedule", "redrive", "secrets"]],
])("what may be done to %j", (of, verbs) => {
  const view = signedIn();
  expect((["read", "steer", "schedule", "redrive", "secrets", "operate"] as const).filter((verb) => may(view, verb, of))).toEqual(verbs);
});

test("an administrator may do the same everywhere", () => {
  const view = signedIn({ is_admin: true, permitted: ["operate"], permitted_by_tenant: {}, permitted_by_project: {} });
  expect(may(view, "operate", { tenant_id: "acme", project_id: "q" })).toBe(true);
});

test.each([
  ["acme", null, ["Change priority", "Stop"]],
  ["other", null, []],
  ["other", "p", ["Change priority", "Stop"]],
])("a task of tenant %s and project %s is offered what may be done to it", async (tenant, project, offered) => {
  signedIn();
  ({ close } = open(() => (
    <p>
      here <Actions task={task(tenant, project)} />
    </p>
  )));
  await find("p", "here");
  expect(buttons()).toEqual(offered);
});

test("runs and schedules of a tenant where one only looks are offered nothing", async () => {
  signedIn();
  const run = (tenant_id: string) => ({ run_id: "r", status: "running", parent_run_id: null, tenant_id, project_id: null }) as never;
  const schedule = (tenant_id: string) => ({ schedule_id: "s", paused: true, timezone: "UTC", tenant_id, project_id: null }) as never;
  ({ close } = open(() => (
    <>
      <RunActions run={run("other")} />
      <ScheduleActions schedule={schedule("other")} done={() => undefined} />
      <section>
        <RunActions run={run("acme")} />
        <ScheduleActions schedule={schedule("acme")} done={() => undefined} />
      </section>
    </>
  )));
  await find("button", "Run now");
  expect(all("button")).toEqual(all("section button"));
});

test("another priority is asked for within the task's tenant, where one may have it", async () => {
  signedIn();
  answers.set(OPERATION, () => json({}, 202));
  ({ close } = open(() => <Actions task={task("other", "p")} />));
  await press("Change priority");
  enter(await field("Priority"), "1");
  await press("Change priority", "[role=dialog]");
  await until(() => expect(askedFor(OPERATION).map((one) => one.body)).toMatchObject([{ filter: { ids: ["t"], tenant_id: "other", project_id: "p" } }]));
});

test("with a key for one project, nothing is offered that spans its tenant", async () => {
  signedIn({ only_project: "p" });
  answers.set("GET /gateway/v1/callbacks", () => json({ callbacks: [], next_cursor: null }));
  ({ close } = open(() => (
    <>
      <Actions task={task("other", "p")} />
      <CallbacksPage />
    </>
  )));
  await find("h1", "Callbacks");
  expect(buttons()).toEqual(["Stop", "Search"]);
});

test("a callback of a tenant where one only looks is not offered to be sent again", async () => {
  signedIn();
  const sent = { state: "dead", task_id: "t", event: "failed", url: "http://there", attempts: 1, status: 500, error: null, created_at: "2026-11-30T12:00:00Z", due_at: null };
  answers.set("GET /gateway/v1/callbacks", () => json({ callbacks: ["acme", "other"].map((name) => ({ ...sent, id: `of ${name}`, tenant_id: name })), next_cursor: null }));
  ({ close } = open(CallbacksPage));
  await find("td", "other");
  expect(all("td button").map((one) => one.getAttribute("aria-label"))).toEqual(["Send again: of acme"]);
});
