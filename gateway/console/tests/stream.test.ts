import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { LiveStream, type StreamEvent, type StreamState } from "../src/streams/stream";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Answers one request after the other; `asked` holds the headers of each. */
function served(...answers: Response[]) {
  const asked: Headers[] = [];
  const events: StreamEvent[] = [];
  const states: StreamState[] = [];
  let ended = 0;
  const stream = new LiveStream({
    url: new URL("http://gateway/stream"),
    headers: () => ({ "X-CSRF-Token": "t" }),
    onEvent: (event) => void events.push(event),
    onState: (state) => void states.push(state),
    onSessionEnded: () => void (ended += 1),
    random: () => 1,
    fetch: (_, options) => {
      asked.push(new Headers(options?.headers));
      const answer = answers.shift();
      return answer === undefined ? Promise.reject(new TypeError("cut")) : Promise.resolve(answer);
    },
  });
  return { stream, asked, events, states, ended: () => ended };
}

const of = (text: string) => new Response(text, { status: 200 });

test("after a cut it comes back with the id of the last event", async () => {
  const { stream, asked, events, states } = served(of('id: 7\nevent: task\ndata: {"a":1}\n\n'), of('data: {"a":2}\n\n'));
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
  const { stream, asked } = served();
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
  const { asked, states, ended } = served(new Response(null, { status: 401 }));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toHaveLength(1);
  expect(states.at(-1)).toBe("ended");
  expect(ended()).toBe(1);
});
