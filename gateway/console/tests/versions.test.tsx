import { useState } from "react";
import { afterAll, afterEach, expect, test } from "vitest";
import { serve, stream } from "./support/server";
import { press, show, until } from "./support/show";

let last = 1;
let tell: (name: string, data: unknown) => void = () => undefined;
const gateway = await serve(({ path }, response) => {
  if (path.startsWith("/gateway/v1/news/stream")) {
    tell = stream(response);
    tell("news", { changed: [] });
    return undefined;
  }
  if (!path.startsWith("/gateway/v1/dags/nightly/versions")) return null;
  const versions = Array.from({ length: last }, (_, at) => ({ version: at + 1, label: null, created_by: null, created_at: null, nodes: 1, is_current: at + 1 === last }));
  return JSON.stringify({ versions: versions.reverse() });
});
afterAll(() => gateway.close());
let leave: () => void = () => undefined;
afterEach(() => leave());

const { Versions } = await import("../src/pages/editor/Versions");
const { placeOf } = await import("../src/pages/editor/saved");

function Page() {
  const [current, setCurrent] = useState(1);
  return (
    <>
      <button onClick={() => setCurrent(2)}>Save</button>
      <Versions key={current} current={current} place={placeOf("nightly", "acme")} text="" canEdit={false} take={() => undefined} rolledBack={() => undefined} />
    </>
  );
}

const shown = () => [...document.querySelectorAll("tbody tr")].map((row) => row.firstElementChild?.textContent.trim());

test("versions that were made since are shown: by who reads them, and by somebody else", async () => {
  leave = await show(<Page />);
  await until(() => expect(shown()).toEqual(["1 in use"]));
  last = 2;
  await press("Save");
  await until(() => expect(shown()).toEqual(["2 in use", "1"]));
  last = 3;
  tell("news", { changed: [{ topic: "dag", tenant_id: "acme" }] });
  await until(() => expect(shown()).toEqual(["3 in use", "2", "1"]));
}, 30_000);
