import { afterAll, afterEach, expect, test } from "vitest";
import { serve } from "./support/server";
import { press, show, showPage, type, until } from "./support/show";

const LARGE = "9007199254740993";

const gateway = await serve(({ path }) => {
  if (path.includes("/signals/")) return '{"nodes":["wait"]}';
  if (path.endsWith("/payload")) return `{"payload":{"id":${LARGE}},"bytes":20,"is_cut":false}`;
  if (path.endsWith("/preview")) return `{"nodes":1,"params":{"id":${LARGE}}}`;
  return null;
});
afterAll(() => gateway.close());
let leave: () => void = () => undefined;
afterEach(() => leave());

test("the payload of a signal is sent as it was typed", async () => {
  const { RunActions } = await import("../src/pages/run/RunActions");
  leave = await show(<RunActions run={{ run_id: "r", status: "running", parent_run_id: null } as never} />);
  await press("Send a signal");
  await type("Name", "go");
  await type("Payload", ` {"id": ${LARGE}} `);
  await press("Send a signal");
  await until(() => expect(gateway.asked.find((one) => one.path.endsWith("/signals/go"))?.body).toBe(` {"id": ${LARGE}} `));
}, 15_000);

test("the payload of a task is shown with its digits", async () => {
  const { Payload } = await import("../src/pages/task/Payload");
  leave = await show(<Payload taskId="t" />);
  await press("Load the payload");
  await until(() => expect(document.querySelector("pre")?.textContent).toContain(`"id": ${LARGE}`));
}, 15_000);

test("the parameters of a run are sent as they were typed, and so is the default of one shown", async () => {
  const { RunDialog } = await import("../src/pages/editor/RunDialog");
  const { placeOf } = await import("../src/pages/editor/saved");
  const text = `params:\n  id: {type: integer, default: -${LARGE}}\nnodes: {}\n`;
  leave = await showPage(() => <RunDialog place={placeOf("d", "acme")} current={{ version: 1, text, isBuiltIn: false }} isChanged={false} />, "/", "/");
  await press("Run");
  await until(() => expect(document.body.textContent).toContain(`default: -${LARGE}`));
  await type("id", LARGE);
  await press("Dry run");
  await until(() => expect(gateway.asked.find((one) => one.path.endsWith("/preview"))?.body).toContain(`"params":{"id":${LARGE}}`));
  await until(() => expect(document.querySelector("pre")?.textContent).toContain(`"id": ${LARGE}`));
}, 15_000);

test("what a stream tells keeps its digits", async () => {
  const { LiveStream } = await import("../src/streams/stream");
  const { jsonText } = await import("../src/api/json");
  const told: unknown[] = [];
  const stream = new LiveStream({
    url: new URL("http://gateway/stream"),
    headers: () => ({}),
    onEvent: (event) => told.push(event.data),
    onState: () => undefined,
    onSessionEnded: () => undefined,
    fetch: () => Promise.resolve(new Response(`data: {"result":${LARGE}}\n\n`, { status: 200 })),
  });
  await until(() => expect(told.map((one) => jsonText(one))).toEqual([`{"result":${LARGE}}`]));
  stream.close();
});
