import type { components } from "../../api/schema";

type TaskDispatch = components["schemas"]["TaskDispatch"];
type Attempt = components["schemas"]["Attempt"];

/** A part of a task's life. `end` null: it goes on. Times are in milliseconds since 1970. */
export type Span =
  | { kind: "gateway" | "queue" | "pause"; start: number; end: number | null }
  | { kind: "attempt"; start: number; end: number | null; attempt: Attempt };

/** The parts of a task's life in their order, without gaps; what takes no time is left out. */
export function spansOf(task: TaskDispatch): Span[] {
  const spans: Span[] = [];
  const add = (kind: "gateway" | "queue" | "pause", start: number, end: number | null) => {
    if (end === null || end > start) spans.push({ kind, start, end });
  };
  const at = (time: string | null) => (time === null ? null : Date.parse(time));
  const over = at(task.finished_at);
  const created = Date.parse(task.created_at);
  const first = task.attempts[0] === undefined ? null : Date.parse(task.attempts[0].started_at);
  // After a retry `queued_at` is that of the last start.
  const queued = task.attempts.length <= 1 ? at(task.queued_at) : null;
  const begins = first ?? over;
  if (queued !== null && (begins === null || queued <= begins)) {
    add("gateway", created, queued);
    add("queue", queued, begins);
  } else add(task.state === "queued" && first === null ? "queue" : "gateway", created, begins);
  task.attempts.forEach((attempt, place) => {
    const start = Date.parse(attempt.started_at);
    const end = at(attempt.ended_at);
    spans.push({ kind: "attempt", start, end, attempt });
    const next = task.attempts[place + 1];
    if (end === null) return;
    if (next !== undefined) add("pause", end, Date.parse(next.started_at));
    else if (["waiting", "starting", "queued"].includes(task.state)) add("pause", end, null);
  });
  return spans;
}
