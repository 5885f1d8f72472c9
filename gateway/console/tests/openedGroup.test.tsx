import { answers, asked, askedFor, json, session } from "./support/gateway";
import { all, find, open, press } from "./support/page";
import { until } from "./support/until";
import { useState } from "react";
import { afterEach, expect, test } from "vitest";
import { resume } from "../src/api/session";
import { OpenedGroup } from "../src/pages/deadLetters/OpenedGroup";

const GROUP = { kind: "task", reason: "attempts_exhausted", error_type: "Fatal" } as const;
const letter = (id: string) => ({ id, task_id: null, type: null, tenant_id: "acme", attempts: 1, died_at: `${id.length === 4 ? id : "2026"}-01-01T00:00:00Z`, error: id });

let close: () => void;
afterEach(() => {
  close();
  asked.length = 0;
});

/** Three letters are open; what the gateway says when it is asked again is `next`. */
async function opened(next: string[]) {
  let letters = ["a", "b", "c"].map(letter);
  let tell: () => void;
  answers.set("GET /gateway/v1/session", () => json(session("t")));
  answers.set("GET /gateway/v1/dead-letters", () => json({ dead_letters: letters, next_cursor: null }));
  answers.set("POST /gateway/v1/dead-letters/purge", () => json({ removed: 1, next_cursor: null }));
  await resume();
  function Page() {
    const [news, setNews] = useState(0);
    tell = () => setNews((count) => count + 1);
    const shown = { ...GROUP, letters: letters.length, newest_at: letters.at(-1)?.died_at };
    return <OpenedGroup group={GROUP} shown={shown as never} error="" news={news} close={() => undefined} begun={() => undefined} changed={() => undefined} />;
  }
  ({ close } = open(Page));
  await find("td", "c");
  return {
    change: async () => {
      letters = next.map(letter);
      tell();
      await until(() => expect(all("input[type=checkbox]")).toHaveLength(next.length));
    },
  };
}

test("what is chosen and then gone does not become the whole group, neither in the open dialog nor in what is sent", async () => {
  const { change } = await opened(["b", "c"]);
  (await find("input", "Select a")).click();
  await press("Purge 1 selected");
  await find("[role=alertdialog]", "1 dead letter is deleted");
  await change();
  const dialog = await find("[role=alertdialog]");
  expect(dialog.textContent).toContain("1 dead letter is deleted");
  await press("Purge 1 selected", "[role=alertdialog]");
  await find("[role=status]", "Deleted: 1");
  expect(askedFor("POST /gateway/v1/dead-letters/purge").map((one) => (one.body as { filter: unknown }).filter)).toEqual([
    { ids: ["a"], untyped: false, state: "open" },
  ]);
});

test("the dialog is about what there was when it was opened", async () => {
  const { change } = await opened(["a", "b", "c", "2027"]);
  await press("Purge all 3");
  await find("[role=alertdialog]", "3 dead letters are deleted");
  await change();
  expect((await find("[role=alertdialog]")).textContent).toContain("Purge all 3");
  await press("Purge all 3", "[role=alertdialog]");
  await find("[role=status]", "Deleted: 1");
  const sent = askedFor("POST /gateway/v1/dead-letters/purge").map((one) => one.body as { filter: unknown });
  expect(sent[0]?.filter).toMatchObject({ died_before: "2026-01-01T00:00:00.001Z", error_type: "Fatal" });
});
