import { answers, json, session, stream } from "./support/gateway";
import { all, open, press } from "./support/page";
import { until } from "./support/until";
import { useState } from "react";
import { afterEach, beforeEach, expect, test } from "vitest";
import { resume } from "../src/api/session";
import { Versions } from "../src/pages/editor/Versions";
import { placeOf } from "../src/pages/editor/saved";

let last = 1;
const news = stream();
let close: () => void = () => undefined;
beforeEach(() => {
  answers.set("GET /gateway/v1/session", () => json(session("t")));
  answers.set("GET /gateway/v1/news/stream", () => news.response);
  answers.set("GET /gateway/v1/dags/nightly/versions", () => {
    const versions = Array.from({ length: last }, (_, at) => ({ version: at + 1, label: null, created_by: null, created_at: null, nodes: 1, is_current: at + 1 === last }));
    return json({ versions: versions.reverse() });
  });
  news.tell("news", { changed: [] });
  return resume();
});
afterEach(() => close());

function Page() {
  const [current, setCurrent] = useState(1);
  return (
    <>
      <button onClick={() => setCurrent(2)}>Save</button>
      <Versions key={current} current={current} place={placeOf("nightly", "acme")} text="" canEdit={false} take={() => undefined} rolledBack={() => undefined} />
    </>
  );
}

const shown = () => all("tbody tr").map((row) => row.firstElementChild?.textContent.trim());

test("versions that were made since are shown: by who reads them, and by somebody else", async () => {
  ({ close } = open(Page));
  await until(() => expect(shown()).toEqual(["1 in use"]));
  last = 2;
  await press("Save");
  await until(() => expect(shown()).toEqual(["2 in use", "1"]));
  last = 3;
  news.tell("news", { changed: [{ topic: "dag", tenant_id: "acme" }] });
  await until(() => expect(shown()).toEqual(["3 in use", "2", "1"]));
});
