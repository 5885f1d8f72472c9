import { answers, asked, askedFor, json, problem, session, silence } from "./support/gateway";
import { find, open, press } from "./support/page";
import { until } from "./support/until";
import { useQuery } from "@tanstack/react-query";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { api, dataOf } from "../src/api/client";
import { resume, signIn } from "../src/api/session";
import { useCheck } from "../src/pages/editor/useCheck";
import TasksPage from "../src/pages/tasks/TasksPage";
import { Connection } from "../src/shell/Connection";
import { interruption } from "../src/streams/connection";
import { useStream } from "../src/streams/useStream";

const STREAM = "GET /gateway/v1/tasks/stream";
const over = () => new Response(": open\n\n", { headers: { "Content-Type": "text/event-stream" } });

let close: () => void;
beforeEach(async () => {
  answers.set("GET /gateway/v1/session", () => json(session("first")));
  await resume();
  asked.length = 0;
});
afterEach(() => {
  close();
  answers.clear();
});

function Page() {
  const state = useStream("gateway/v1/tasks/stream", () => undefined);
  const found = useQuery({ queryKey: ["dags"], queryFn: () => dataOf(api.GET("/gateway/v1/dags")) });
  return (
    <p>
      {state} {JSON.stringify(found.data)}
    </p>
  );
}

test("after a session was renewed, the page that is open hears and reads again", async () => {
  let dags = "old";
  answers.set("GET /gateway/v1/dags", () => json({ dags }));
  const streams = [over, () => problem(401, "unauthenticated"), silence];
  answers.set(STREAM, () => streams.shift()?.() ?? problem(500, "more"));
  ({ close } = open(Page));
  await find("p", "old");
  answers.set("GET /gateway/v1/session", () => problem(401, "unauthenticated"));
  await until(() => expect(askedFor(STREAM)).toHaveLength(2));
  await until(() => expect(askedFor("GET /gateway/v1/session")).toHaveLength(1));
  dags = "new";
  answers.set("POST /gateway/v1/session", () => json(session("second"), 201));
  await signIn("key");
  await find("p", "open");
  await find("p", "new");
  expect(askedFor(STREAM).map((one) => one.headers.get("X-CSRF-Token"))).toEqual(["first", "first", "second"]);
});

test("why a filter is refused is said", async () => {
  const refuse = () => problem(422, "invalid_request", "There is no state bogus.");
  answers.set(STREAM, refuse);
  answers.set("GET /gateway/v1/tasks", refuse);
  ({ close } = open(TasksPage, "/tasks?q=state:bogus"));
  await find("[role=alert]", "There is no state bogus.");
  expect(interruption.get()).toBeNull();
});

/** What the notice says. */
const notice = () => find("[role=status] p");

test.each([403, 404])("of a stream that is refused after it was open, nobody is told that it comes back (%i)", async (status) => {
  const streams = [over, () => problem(status, "refused")];
  answers.set(STREAM, () => streams.shift()?.() ?? problem(500, "more"));
  ({ close } = open(PageAndNotice));
  await find("p", "refused");
  expect((await notice()).textContent).toContain("No live updates since");
  const reload = vi.spyOn(location, "reload").mockReturnValue();
  await press("Reload the page");
  expect(reload).toHaveBeenCalledOnce();
  reload.mockRestore();
});

test("who may read something and not follow it is told so", async () => {
  answers.set(STREAM, () => problem(403, "forbidden"));
  answers.set("GET /gateway/v1/dags", () => json({ dags: "read" }));
  ({ close } = open(PageAndNotice));
  await find("p", "read");
  expect((await notice()).textContent).toContain("No live updates since");
});

test.each([429, 503])("a stream that is refused for now comes back, and the notice says so (%i)", async (status) => {
  const streams = [over, () => problem(status, "later")];
  let isBack = false;
  answers.set(STREAM, () => streams.shift()?.() ?? (isBack ? silence() : problem(status, "later")));
  ({ close } = open(PageAndNotice));
  await until(() => expect(askedFor(STREAM).length).toBeGreaterThan(2));
  expect((await notice()).textContent).toContain("The console is reconnecting");
  isBack = true;
  await find("p", "open");
  expect(interruption.get()).toBeNull();
});

function PageAndNotice() {
  return (
    <>
      <Page />
      <Connection />
    </>
  );
}

test("a text is checked again when the session was renewed", async () => {
  const checks = [() => problem(401, "unauthenticated"), () => json({ valid: true })];
  answers.set("POST /gateway/v1/dags/validate", () => checks.shift()?.() ?? problem(500, "more"));
  answers.set("GET /gateway/v1/session", () => problem(401, "unauthenticated"));
  ({ close } = open(Check));
  await find("p", "unauthenticated");
  await until(() => expect(askedFor("GET /gateway/v1/session")).toHaveLength(1));
  answers.set("POST /gateway/v1/session", () => json(session("second"), 201));
  await signIn("key");
  await find("p", "valid");
  expect(askedFor("POST /gateway/v1/dags/validate")).toHaveLength(2);
});

function Check() {
  const checked = useCheck("nodes: {}", null, false);
  return <p>{checked?.check?.valid === true ? "valid" : JSON.stringify(checked?.error)}</p>;
}

test("a stream that says that the session has ended, while it has not, comes back", async () => {
  const streams = [over, () => problem(401, "unauthenticated"), silence];
  answers.set(STREAM, () => streams.shift()?.() ?? problem(500, "more"));
  ({ close } = open(Page));
  await until(() => expect(askedFor(STREAM)).toHaveLength(3));
  await find("p", "open");
  expect(askedFor("GET /gateway/v1/session")).toHaveLength(1);
  expect(interruption.get()).toBeNull();
});
