import { answers, asked, askedFor, json, problem, session } from "./support/gateway";
import { until } from "./support/until";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

const reload = vi.spyOn(location, "reload").mockReturnValue();
const HOLD = { params: { path: { name: "d" } } };
const hold = async () => (await import("../src/api/client")).api.POST("/gateway/v1/dags/{name}/rollback", { ...HOLD, body: { version: 7 } });
const ROLLBACK = "POST /gateway/v1/dags/d/rollback";

/** Another page of the browser. */
let other: BroadcastChannel;
let ends: (() => void)[];

/** A page that is open as Ann. */
async function opened() {
  answers.set("GET /gateway/v1/session", () => json(session("first")));
  const { followPages, resume, signIn, signOut, sessionState } = await import("../src/api/session");
  ends.push(followPages());
  await resume();
  return { signIn, signOut, state: () => sessionState.get() };
}

beforeEach(() => {
  vi.resetModules();
  answers.clear();
  asked.length = 0;
  reload.mockClear();
  other = new BroadcastChannel("taskgate.session");
  ends = [() => other.close()];
});
afterEach(() => {
  for (const end of ends) end();
});

/** Another page of the browser has signed in: what changes something needs another token from now on. */
function signedInElsewhere(view: object) {
  answers.set("GET /gateway/v1/session", () => json(view));
  answers.set(ROLLBACK, ({ headers }) => (headers.get("X-CSRF-Token") === "second" ? json({ version: 8 }) : problem(403, "csrf_token_missing")));
}

test("what needs the token of a session that another page has begun is sent again with it", async () => {
  const { state } = await opened();
  signedInElsewhere(session("second"));
  expect((await hold()).data).toEqual({ version: 8 });
  expect(askedFor(ROLLBACK).map((one) => [one.headers.get("X-CSRF-Token"), one.body])).toEqual([
    ["first", { version: 7 }],
    ["second", { version: 7 }],
  ]);
  expect(state()).toMatchObject({ is: "signed in", session: { csrf_token: "second" } });
});

test("also where the refusal has no code, as those of legacy endpoints have none", async () => {
  await opened();
  signedInElsewhere(session("second"));
  const answer = answers.get(ROLLBACK);
  answers.set(ROLLBACK, (request) => (request.headers.get("X-CSRF-Token") === "second" ? answer?.(request) : undefined) ?? json({ detail: "No." }, 403));
  expect((await hold()).data).toEqual({ version: 8 });
});

test.each([429, 503])("a refusal that is none of the session's ends nothing, also when the session cannot be looked at (%i)", async (status) => {
  const { state } = await opened();
  answers.set(ROLLBACK, () => problem(403, "forbidden"));
  answers.set("GET /gateway/v1/session", () => problem(status, "later"));
  await expect(hold()).rejects.toMatchObject({ code: "forbidden" });
  expect(state()).toMatchObject({ is: "signed in" });
  expect(askedFor(ROLLBACK)).toHaveLength(1);
});

test("it is not sent in the name of somebody else: the page begins anew", async () => {
  await opened();
  signedInElsewhere(session("second", { user_id: "bob" }));
  await expect(hold()).rejects.toMatchObject({ code: "csrf_token_missing" });
  expect(reload).toHaveBeenCalledOnce();
  expect(askedFor(ROLLBACK)).toHaveLength(1);
});

test("it is sent again only once, and only with another token", async () => {
  await opened();
  answers.set(ROLLBACK, () => problem(403, "csrf_token_missing"));
  await expect(hold()).rejects.toMatchObject({ code: "csrf_token_missing" });
  expect(askedFor(ROLLBACK)).toHaveLength(1);
  answers.set("GET /gateway/v1/session", () => json(session("second")));
  await expect(hold()).rejects.toMatchObject({ code: "csrf_token_missing" });
  expect(askedFor(ROLLBACK)).toHaveLength(3);
});

test("a session that another page has renewed is not asked for", async () => {
  const { state } = await opened();
  signedInElsewhere(session("second"));
  answers.set(ROLLBACK, () => problem(401, "unauthenticated"));
  await expect(hold()).rejects.toMatchObject({ status: 401 });
  await until(() => expect(state()).toMatchObject({ is: "signed in", session: { csrf_token: "second" } }));
});

test("however many answers say that the session has ended, what is open stays", async () => {
  const { state } = await opened();
  answers.set("GET /gateway/v1/session", () => problem(401, "unauthenticated"));
  answers.set(ROLLBACK, () => problem(401, "unauthenticated"));
  await Promise.allSettled([hold(), hold()]);
  await until(() => expect(state()).toEqual({ is: "signed out", ended: true }));
  expect(askedFor("GET /gateway/v1/session")).toHaveLength(2);
  await Promise.allSettled([hold()]);
  expect(state()).toEqual({ is: "signed out", ended: true });
});

test.each([{ user_id: "bob" }, { tenant_ids: ["other"] }, { only_project: "p" }])("what is open is not for somebody else: %j", async (more) => {
  const { signIn, state } = await opened();
  const before = state();
  answers.set("POST /gateway/v1/session", () => json(session("second", more), 201));
  await signIn("key");
  expect(reload).toHaveBeenCalledOnce();
  expect(state()).toEqual(before);
});

test("after a sign-out nothing that was read is kept", async () => {
  const { signOut } = await opened();
  const { queries } = await import("../src/api/queries");
  queries.setQueryData(["secret"], 1);
  answers.set("DELETE /gateway/v1/session", () => new Response(null, { status: 204 }));
  await signOut(false);
  expect(queries.getQueryData(["secret"])).toBeUndefined();
});

test("who signs in again as the same user goes on, and what is shown is read again", async () => {
  const { signIn, state } = await opened();
  const { queries } = await import("../src/api/queries");
  queries.setQueryData(["shown"], 1);
  answers.set("POST /gateway/v1/session", () => json(session("second"), 201));
  await signIn("key");
  expect(reload).not.toHaveBeenCalled();
  expect(state()).toMatchObject({ session: { csrf_token: "second" } });
  expect(queries.getQueryState(["shown"])?.isInvalidated).toBe(true);
});

test("what somebody else has signed in to in another page is not shown in this one's name: it begins anew", async () => {
  await opened();
  signedInElsewhere(session("second", { user_id: "bob" }));
  other.postMessage(null);
  await until(() => expect(reload).toHaveBeenCalledOnce());
});

test("a session that another page has renewed is gone on with before anything is refused", async () => {
  const { state } = await opened();
  signedInElsewhere(session("second"));
  other.postMessage(null);
  await until(() => expect(state()).toMatchObject({ is: "signed in", session: { csrf_token: "second" } }));
  expect(reload).not.toHaveBeenCalled();
});

test("after a sign-out in another page, this one asks for a key; after a sign-in there, it goes on", async () => {
  const { state } = await opened();
  answers.set("GET /gateway/v1/session", () => problem(401, "unauthenticated"));
  other.postMessage(null);
  await until(() => expect(state()).toEqual({ is: "signed out", ended: true }));
  answers.set("GET /gateway/v1/session", () => json(session("second")));
  other.postMessage(null);
  await until(() => expect(state()).toMatchObject({ is: "signed in", session: { csrf_token: "second" } }));
});

test("other pages are told of a sign-in and of a sign-out", async () => {
  const heard = vi.fn();
  other.onmessage = heard;
  const { signIn, signOut } = await opened();
  answers.set("POST /gateway/v1/session", () => json(session("second"), 201));
  answers.set("DELETE /gateway/v1/session", () => new Response(null, { status: 204 }));
  await signIn("key");
  await until(() => expect(heard).toHaveBeenCalledOnce());
  await signOut(false);
  await until(() => expect(heard).toHaveBeenCalledTimes(2));
});
