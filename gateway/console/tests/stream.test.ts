import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { LiveStream, type StreamEvent, type StreamState } from "../src/streams/stream";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Answers one request after the other; `asked` holds the headers of each. `goesOn`: the session does, after a 401. */
function served(answers: readonly Response[], goesOn = false) {
  const left = [...answers];
  const asked: Headers[] = [];
  const events: StreamEvent[] = [];
  const states: StreamState[] = [];
  let ended = 0;
  const stream = new LiveStream({
    url: new URL("http://gateway/stream"),
    headers: () => ({ "X-CSRF-Token": "t" }),
    onEvent: (event) => void events.push(event),
    onState: (state) => void states.push(state),
    onSessionEnded: () => {
      ended += 1;
      return Promise.resolve(goesOn);
    },
    random: () => 1,
    fetch: (_, options) => {
      asked.push(new Headers(options?.headers));
      const answer = left.shift();
      return answer === undefined ? Promise.reject(new TypeError("cut")) : Promise.resolve(answer);
    },
  });
  return { stream, asked, events, states, ended: () => ended };
}

const of = (text: string) => new Response(text, { status: 200 });
const refusal = (status: number, after?: string) => new Response(null, { status, headers: after === undefined ? {} : { "Retry-After": after } });

test("after a cut it comes back with the id of the last event", async () => {
  const { stream, asked, events, states } = served([of('id: 7\nevent: task\ndata: {"a":1}\n\n'), of('data: {"a":2}\n\n')]);
  await vi.advanceTimersByTimeAsync(0);
  expect(states).toEqual(["connecting", "open", "cut"]);
  await vi.advanceTimersByTimeAsync(250);
  stream.close();
  expect(asked.map((one) => one.get("Last-Event-ID"))).toEqual([null, "7"]);
  expect(events).toEqual([
    { name: "task", data: { a: 1 } },
    { name: "message", data: { a: 2 } },
  ]);
});

test("the pauses grow while nobody answers", async () => {
  const { stream, asked } = served([]);
  await vi.advanceTimersByTimeAsync(0);
  await vi.advanceTimersByTimeAsync(250);
  expect(asked).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(499);
  expect(asked).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(1);
  expect(asked).toHaveLength(3);
  stream.close();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toHaveLength(3);
});

test("without a session it does not come back", async () => {
  const { asked, states, ended } = served([refusal(401)]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toHaveLength(1);
  expect(states.at(-1)).toBe("ended");
  expect(ended()).toBe(1);
});

test("an answer of 401 while the session goes on is a cut", async () => {
  const { stream, asked, states } = served([refusal(401), of("data: 1\n\n")], true);
  await vi.advanceTimersByTimeAsync(250);
  stream.close();
  expect(asked).toHaveLength(2);
  expect(states).toEqual(["connecting", "ended", "cut", "connecting", "open", "cut"]);
});

test.each([429, 503])("it comes back no sooner than the answer asks (%i)", async (status) => {
  const { stream, asked } = served([refusal(status, "7"), refusal(status)]);
  await vi.advanceTimersByTimeAsync(7000);
  expect(asked).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(250);
  expect(asked).toHaveLength(2);
  // Another one asks for nothing.
  await vi.advanceTimersByTimeAsync(500);
  expect(asked).toHaveLength(3);
  stream.close();
});

test("also at the time that an answer names, but not only after hours", async () => {
  vi.setSystemTime("2026-11-30T12:00:00Z");
  const { stream, asked } = served([refusal(503, "Mon, 30 Nov 2026 12:00:07 GMT"), refusal(503, "86400")]);
  await vi.advanceTimersByTimeAsync(7000);
  expect(asked).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(250);
  expect(asked).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(600_500);
  expect(asked).toHaveLength(3);
  stream.close();
});

test.each([403, 404, 422])("what is refused for good does not come back (%i)", async (status) => {
  const { asked, states } = served([refusal(status)]);
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect(asked).toHaveLength(1);
  expect(states.at(-1)).toBe("refused");
});
