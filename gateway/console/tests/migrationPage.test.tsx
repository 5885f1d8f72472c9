import { answers, asked, askedFor, json, problem, session } from "./support/gateway";
import { all, enter, field, find, open, press } from "./support/page";
import { until } from "./support/until";
import { afterEach, beforeEach, expect, test } from "vitest";
import { resume } from "../src/api/session";
import MigrationPage from "../src/pages/migration/MigrationPage";

const SET = "PUT /gateway/v1/migration/stages";
const UNSET = "DELETE /gateway/v1/migration/stages";

/** The stage of the tenant's own, and the version of the flag. */
let own: string | null;
let version: number;
let close: () => void;

function stages() {
  const settings = own === null ? [] : [{ tenant_id: "acme", project_id: null, task_type: null, stage: own }];
  return { version, settings, overrides: [], problems: [], read_only: null };
}

/** Somebody else sets it. */
function becomes(stage: string | null) {
  own = stage;
  version += 1;
}

beforeEach(async () => {
  [own, version, asked.length] = [null, 1, 0];
  answers.set("GET /gateway/v1/session", () => json(session("t")));
  answers.set("GET /gateway/v1/tenants", () => json({ tenants: [{ tenant_id: "acme", stage: own ?? "off", tier: "gold" }], next: null }));
  answers.set("GET /gateway/v1/migration/stages", () => json(stages()));
  answers.set("GET /gateway/v1/migration/ledger", () => json({ flips: [] }));
  answers.set("GET /gateway/v1/migration/plans", () => json({ plans: [] }));
  answers.set("GET /gateway/v1/migration/stages/stream", () => {
    const body = new ReadableStream({ start: (to) => to.enqueue(new TextEncoder().encode("event: stages\ndata: {}\n\n")) });
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  });
  answers.set(SET, () => {
    becomes((asked.at(-1)?.body as { stage: string }).stage);
    return json({ at: new Date().toISOString(), warnings: [], notes: [] });
  });
  answers.set(UNSET, () => {
    becomes(null);
    return json({});
  });
  await resume();
  ({ close } = open(MigrationPage));
});
afterEach(() => close());

async function ask(stage: string) {
  await press("Move acme");
  enter(await field("To stage"), stage);
  enter(await field("Why"), "because");
  await press(`Move to ${stage}`);
}

const sent = () => asked.filter((one) => one.what === SET || one.what === UNSET);

test("what somebody else has set since the dialog was opened is not overwritten", async () => {
  await press("Move acme");
  enter(await field("To stage"), "live");
  enter(await field("Why"), "because");
  becomes("shadow");
  await press("Move to live");
  await find("[role=alert]", "Somebody else has moved acme");
  expect(sent()).toEqual([]);
  expect(all("button", "nevertheless")).toEqual([]);
});

test("a move is undone with the version that was looked at, and without force", async () => {
  await ask("live");
  await press("Undo");
  await find("[role=status]", "acme is back at its previous stage.");
  expect(askedFor(UNSET).map((one) => [one.query.get("based_on"), one.query.get("force")])).toEqual([["2", "false"]]);
});

test("what somebody else has set after a move is not undone", async () => {
  await ask("live");
  await find("button", "Undo");
  becomes("complete");
  await press("Undo");
  await find("[role=alert]", "Somebody else has moved acme");
  expect(sent()).toHaveLength(1);
});

test("an undo that is refused can be insisted on", async () => {
  await ask("live");
  const undone = answers.get(UNSET);
  answers.set(UNSET, (request) => (request.url.includes("force=true") ? undone?.(request) : undefined) ?? problem(409, "stage_change_refused", "Held."));
  await press("Undo");
  await find("[role=alert]", "Held.");
  await press("Move anyway");
  await find("[role=status]", "acme is back at its previous stage.");
});

test("only the stage that was refused can be insisted on", async () => {
  answers.set(SET, () => problem(409, "stage_change_refused", "Held."));
  await ask("live");
  await find("button", "Move anyway");
  enter(await field("To stage"), "complete");
  await until(() => expect(all("button", "nevertheless")).toEqual([]));
  expect(all("[role=alert]", "Held.")).toEqual([]);
});

test.each(["move_locked", "flag_store_refuses", "flag_unsound"])("what force does not overrule is not offered again (%s)", async (code) => {
  answers.set(SET, () => problem(409, code, "Not now."));
  await ask("live");
  await find("[role=alert]", "Not now.");
  expect(all("button", "nevertheless")).toEqual([]);
});

test("what a guardrail holds can be insisted on", async () => {
  answers.set(SET, () => problem(409, "move_held", "Held."));
  await ask("live");
  await find("button", "Move anyway");
});

test("who counted a tenant of a plan anew, from when on and why, stands above the steps", async () => {
  const wave = { name: "pilot", stage: "live", bake_seconds: 0, tasks_percent: null, gates: ["guardrails", "parity"], tenants: 1, waiting: 0, moved: 1, left: 0, back: 0, skipped: 0, by_override: 0 };
  const plan = { name: "spring", state: "held", says: "acme (counted from 2026-11-28 09:00 UTC): no_data", why: "the move", wave: 1, moved_at: "2026-11-28T08:00:00Z", version: 9, waves: [wave] };
  const recounts = [{ tenant_id: "acme", wave: 1, counts_from: "2026-11-28T09:00:00Z", who: "ada", why: "the handler is mended", times: 1 }];
  answers.set("GET /gateway/v1/migration/plans", () => json({ plans: [plan] }));
  answers.set("GET /gateway/v1/migration/plans/spring", () => json({ ...plan, document: "", faults: [], recounts, steps: [] }));
  close();
  ({ close } = open(MigrationPage));
  await press("Steps of spring");
  const row = await find("table[aria-label='Tenants of spring that are counted anew'] tbody tr", "acme");
  expect(row.textContent).toContain("the handler is mended");
  expect(row.querySelector("time")?.dateTime).toBe("2026-11-28T09:00:00Z");
});
