import { answers, asked, askedFor, json, session } from "./support/gateway";
import { all, enter, field, find, open, press } from "./support/page";
import { until } from "./support/until";
import { afterEach, expect, test } from "vitest";
import { sessionState } from "../src/api/session";
import KeysPage from "../src/pages/keys/KeysPage";

const MAKE = "POST /gateway/v1/keys";
const KEYS = ["ann", "bob"].map((user) => ({
  key_id: user, name: `key of ${user}`, user_id: user, state: "active", scope: "read", permissions: ["read"], tenant_id: "acme", project_id: null, per_minute: null,
  created_at: "2026-11-30T12:00:00Z", created_by: "ann", expires_at: null, last_used_at: null, addresses: [], revoked_by: null, revoked_at: null, replaces: null, replaced_by: null,
}));

let close: () => void = () => undefined;
afterEach(() => {
  close();
  asked.length = 0;
});

async function opened(more: object) {
  answers.set("GET /gateway/v1/keys", () => json({ keys: KEYS, next: null }));
  answers.set(MAKE, () => json({ ...KEYS[0], key: "ms_sk_1" }, 201));
  sessionState.set({ is: "signed in", session: session("t", { permitted: ["read", "keys"], ...more }) });
  ({ close } = open(KeysPage));
  await find("td", "key of bob");
}

const labels = () => all("button[aria-label]").map((one) => one.getAttribute("aria-label"));

test("a key of another user is offered to be revoked, not to be rotated", async () => {
  await opened({});
  expect(labels()).toEqual(["Rotate: key of ann", "Revoke: key of ann", "Revoke: key of bob"]);
});

test("an administrator is offered both of each", async () => {
  await opened({ is_admin: true });
  expect(labels()).toEqual(["Rotate: key of ann", "Revoke: key of ann", "Rotate: key of bob", "Revoke: key of bob"]);
});

test("with a key for one project, a key of that project is made", async () => {
  await opened({ only_project: "p" });
  await press("Make a key");
  enter(await field("Name"), "nightly");
  await press("Make a key", "[role=dialog]");
  await until(() => expect(askedFor(MAKE).map((one) => one.body)).toMatchObject([{ tenant_id: "acme", project_id: "p" }]));
});
