import { answers, json, problem, session } from "./support/gateway";
import { all, find, open, press } from "./support/page";
import { until } from "./support/until";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { resume, useSessionState } from "../src/api/session";
import { sessionEnded } from "../src/api/token";
import { Confirm } from "../src/components/Confirm";
import { CommandPalette } from "../src/keys/CommandPalette";
import { useShortcuts } from "../src/keys/shortcuts";
import { SignIn } from "../src/shell/SignIn";

const run = vi.fn();

function Page() {
  useShortcuts([{ keys: "g x", label: "Away", run }]);
  return (
    <main>
      <Confirm label="Stop" ask="Stop it?" leave="Leave it" confirm={() => undefined} />
      <CommandPalette />
      {useSessionState().is === "signed out" && <SignIn ended />}
    </main>
  );
}

let close: () => void;
beforeEach(async () => {
  answers.set("GET /gateway/v1/session", () => json(session("t")));
  await resume();
  run.mockClear();
  ({ close } = open(Page));
});
afterEach(() => close());

function type(...keys: string[]) {
  for (const key of keys) document.activeElement?.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
}

test("keys do not lead away from a question", async () => {
  await find("button", "Stop");
  type("g", "x");
  expect(run).toHaveBeenCalledOnce();
  await press("Stop");
  await find("[role=alertdialog]", "Stop it?");
  type("g", "x");
  expect(run).toHaveBeenCalledOnce();
});

test("a key can be entered over a dialog that is open", async () => {
  await press("Stop");
  await find("[role=alertdialog]", "Stop it?");
  answers.set("GET /gateway/v1/session", () => problem(401, "unauthenticated"));
  await sessionEnded();
  const place = await find<HTMLInputElement>("input[type=password]");
  await until(() => expect(document.activeElement).toBe(place));
  // Nothing that is around it is hidden, what is beneath is.
  const isHidden = (one: Element) => one.closest("[inert], [aria-hidden=true]") !== null || (one.closest<HTMLElement>("body > *")?.inert ?? false);
  expect(isHidden(place)).toBe(false);
  expect(all("[role=alertdialog]").map(isHidden)).toEqual([true]);
  type("Escape");
  expect(place.isConnected).toBe(true);
  document.activeElement?.dispatchEvent(new KeyboardEvent("keydown", { key: "k", ctrlKey: true, bubbles: true }));
  await until(() => expect(document.activeElement).toBe(place));
  expect(all("[aria-label=Commands]")).toEqual([]);
  answers.set("GET /gateway/v1/session", () => json(session("second")));
  await resume();
  await until(() => expect(place.isConnected).toBe(false));
  expect(all("[role=alertdialog]").map(isHidden)).toEqual([false]);
});
