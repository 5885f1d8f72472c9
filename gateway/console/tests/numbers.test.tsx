import { answers, askedFor, json, session } from "./support/gateway";
import { enter, field, find, open, press } from "./support/page";
import { until } from "./support/until";
import { afterEach, beforeAll, expect, test } from "vitest";
import { jsonText } from "../src/api/json";
import { resume } from "../src/api/session";
import { RunDialog } from "../src/pages/editor/RunDialog";
import { placeOf } from "../src/pages/editor/saved";
import { RunActions } from "../src/pages/run/RunActions";
import { Payload } from "../src/pages/task/Payload";
import { LiveStream } from "../src/streams/stream";

const LARGE = "9007199254740993";
/** Not by way of JavaScript's numbers. */
const text = (answer: string) => () => new Response(answer, { headers: { "Content-Type": "application/json" } });

let close: () => void = () => undefined;
beforeAll(() => {
  answers.set("GET /gateway/v1/session", () => json(session("t")));
  return resume();
});
afterEach(() => close());

test("the payload of a signal is sent as it was typed", async () => {
  const signal = "POST /gateway/v1/dag-runs/r/signals/go";
  answers.set(signal, text('{"nodes":["wait"]}'));
  ({ close } = open(() => <RunActions run={{ run_id: "r", status: "running", parent_run_id: null } as never} />));
  await press("Send a signal");
  enter(await field("Name"), "go");
  enter(await field("Payload"), ` {"id": ${LARGE}} `);
  await press("Send a signal", "[role=dialog]");
  await until(() => expect(askedFor(signal).map((one) => one.text)).toEqual([` {"id": ${LARGE}} `]));
});

test("the payload of a task is shown with its digits", async () => {
  answers.set("GET /gateway/v1/tasks/t/payload", text(`{"payload":{"id":${LARGE}},"bytes":20,"is_cut":false}`));
  ({ close } = open(() => <Payload taskId="t" />));
  await press("Load the payload");
  await find("pre", `"id": ${LARGE}`);
});

test("the parameters of a run are sent as they were typed, and so is the default of one shown", async () => {
  const preview = "POST /gateway/v1/dag-runs/preview";
  answers.set(preview, text(`{"nodes":1,"params":{"id":${LARGE}}}`));
  const definition = `params:\n  id: {type: integer, default: -${LARGE}}\nnodes: {}\n`;
  ({ close } = open(() => <RunDialog place={placeOf("d", "acme")} current={{ version: 1, text: definition, isBuiltIn: false }} isChanged={false} />));
  await press("Run");
  await find("[role=dialog]", `default: -${LARGE}`);
  enter(await field("id"), LARGE);
  await press("Dry run");
  await find("pre", `"id": ${LARGE}`);
  expect(askedFor(preview)[0]?.text).toContain(`"params":{"id":${LARGE}}`);
});

test("what a stream tells keeps its digits", async () => {
  const told: unknown[] = [];
  const stream = new LiveStream({
    url: new URL("http://gateway/stream"),
    headers: () => ({}),
    onEvent: (event) => told.push(event.data),
    onState: () => undefined,
    onSessionEnded: () => Promise.resolve(false),
    fetch: () => Promise.resolve(new Response(`data: {"result":${LARGE}}\n\n`, { status: 200 })),
  });
  await until(() => expect(told.map((one) => jsonText(one))).toEqual([`{"result":${LARGE}}`]));
  stream.close();
});
