import { answers, asked, askedFor, json, session, silence } from "./support/gateway";
import { enter, field, find, open, press } from "./support/page";
import { until } from "./support/until";
import type { ReactElement } from "react";
import { afterEach, beforeEach, expect, test } from "vitest";
import { resume } from "../src/api/session";
import AuditPage from "../src/pages/audit/AuditPage";
import CallbacksPage from "../src/pages/callbacks/CallbacksPage";
import DeadLettersPage from "../src/pages/deadLetters/DeadLettersPage";
import KeysPage from "../src/pages/keys/KeysPage";
import TasksPage from "../src/pages/tasks/TasksPage";

const TASK = { task_id: "t1", task_type: "probe", state: "waiting", created_at: "2026-01-01T00:00:00Z", attempt: 0, max_attempts: 3 };

let close: () => void;
beforeEach(async () => {
  asked.length = 0;
  answers.set("GET /gateway/v1/session", () => json(session("t")));
  for (const stream of ["tasks", "news"]) answers.set(`GET /gateway/v1/${stream}/stream`, silence);
  answers.set("GET /gateway/v1/tasks", () => json({ tasks: [TASK], next_cursor: null }));
  answers.set("GET /gateway/v1/dead-letters/groups", () => json({ groups: [], counted: 0, most: 10 }));
  answers.set("GET /gateway/v1/audit", () => json({ entries: [], next_cursor: null }));
  answers.set("GET /gateway/v1/callbacks", () => json({ callbacks: [], next_cursor: null }));
  answers.set("GET /gateway/v1/keys", () => json({ keys: [], next: null }));
  answers.set("POST /gateway/v1/operations", () => json({ total: 1 }));
  await resume();
});
afterEach(() => close());

const PAGES: [string, () => ReactElement, string, string][] = [
  ["/tasks", TasksPage, "q", "Filter tasks"],
  ["/dead-letters", DeadLettersPage, "q", "Find in errors"],
  ["/audit", AuditPage, "who", "By"],
  ["/callbacks", CallbacksPage, "tenant", "Tenant"],
  ["/keys", KeysPage, "tenant", "Tenant"],
];

test.each(PAGES)("what is in the fields of %s is what the address asks for", async (path, page, name, label) => {
  const opened = open(page, `${path}?${name}=one`);
  ({ close } = opened);
  const place = await field(label);
  const says = (text: string) => until(() => expect(place.value).toBe(text));
  await says("one");
  opened.go(path);
  await says("");
  enter(place, "two");
  await says("two");
  place.form?.requestSubmit();
  await until(() => expect(asked.map((one) => one.query.toString()).join(" ")).toContain("=two"));
  // Who searches by keyboard goes on in the field.
  expect(place.isConnected).toBe(true);
  opened.go(path);
  await says("");
  enter(place, "never sent");
  opened.go(`${path}?${name}=one`);
  await says("one");
  opened.go(path);
  await says("");
});

test("who chooses a state of callbacks searches for what is in the fields, too", async () => {
  ({ close } = open(CallbacksPage, "/callbacks"));
  enter(await field("Tenant"), "acme");
  enter(await field("State"), "dead");
  await until(() => {
    const { query } = askedFor("GET /gateway/v1/callbacks").at(-1) ?? {};
    expect([query?.get("tenant_id"), query?.get("state")]).toEqual(["acme", "dead"]);
  });
});

test("what is sent again is named", async () => {
  ({ close } = open(CallbacksPage, "/callbacks?tenant=acme&event=failed"));
  await press("Send all again that were given up");
  await find("[role=alertdialog] p", "Tenant: acme, End of the task: failed");
});

test("what a bulk action is done to is named", async () => {
  ({ close } = open(TasksPage, "/tasks?q=state:waiting"));
  enter(await field("Filter tasks"), "tenant:acme");
  await press("Act on all that match");
  await find("[role=dialog] code", "state:waiting");
});
