import { expect, test } from "vitest";
import type { components } from "../src/api/schema";
import { spansOf } from "../src/pages/task/spans";

type TaskDispatch = components["schemas"]["TaskDispatch"];

const at = (seconds: number) => new Date(Date.UTC(2026, 0, 1) + seconds * 1000).toISOString();

function lifeOf(task: object): string[] {
  const whole = { created_at: at(0), queued_at: null, finished_at: null, state: "waiting", attempts: [], ...task };
  const start = Date.parse(at(0));
  return spansOf(whole as unknown as TaskDispatch).map(
    (span) => `${span.kind} ${(span.start - start) / 1000}–${span.end === null ? "" : (span.end - start) / 1000}`,
  );
}

const attempt = (start: number, end: number | null, outcome: string | null) => ({
  attempt: 1,
  started_at: at(start),
  ended_at: end === null ? null : at(end),
  outcome,
});

test("one that waits", () => {
  expect(lifeOf({})).toEqual(["gateway 0–"]);
  expect(lifeOf({ state: "queued", queued_at: at(2) })).toEqual(["gateway 0–2", "queue 2–"]);
});

test("one that runs", () => {
  expect(lifeOf({ state: "running", queued_at: at(1), attempts: [attempt(3, null, null)] })).toEqual([
    "gateway 0–1",
    "queue 1–3",
    "attempt 3–",
  ]);
});

test("attempts, and the pauses between them", () => {
  const attempts = [attempt(1, 2, "failed"), attempt(5, 6, "completed")];
  expect(lifeOf({ state: "completed", queued_at: at(5), finished_at: at(6), attempts })).toEqual([
    "gateway 0–1",
    "attempt 1–2",
    "pause 2–5",
    "attempt 5–6",
  ]);
});

test("one that waits for its next attempt", () => {
  expect(lifeOf({ state: "waiting", attempts: [attempt(1, 2, "failed")] })).toEqual(["gateway 0–1", "attempt 1–2", "pause 2–"]);
});

test("one that was stopped before it ran", () => {
  expect(lifeOf({ state: "stopped", finished_at: at(4) })).toEqual(["gateway 0–4"]);
});
