import type { components } from "../../api/schema";

export type DeadLetterGroup = components["schemas"]["DeadLetterGroup"];
/** What went wrong. `error_type` null: the error has no type. */
export type GroupKey = Pick<DeadLetterGroup, "kind" | "reason" | "error_type">;

/** As it stands in the address. */
export function textOf({ kind, reason, error_type }: GroupKey): string {
  return [kind, reason, ...(error_type === null ? [] : [error_type])].join(":");
}

/** What stands in an address; null: no group. The gateway says which kinds and reasons there are. */
export function keyOf(text: unknown): GroupKey | null {
  if (typeof text !== "string") return null;
  const [kind, reason, ...type] = text.split(":");
  if (kind === undefined || reason === undefined) return null;
  return { kind: kind as GroupKey["kind"], reason: reason as GroupKey["reason"], error_type: type.length === 0 ? null : type.join(":") };
}

/** What the API takes for the dead letters of a group whose error has this text. */
export function filterOf({ kind, reason, error_type }: GroupKey, error: string) {
  return {
    kind,
    reason,
    untyped: error_type === null,
    ...(error_type === null ? {} : { error_type }),
    ...(error === "" ? {} : { error }),
    state: "open" as const,
  };
}

/** Nothing that dies after the newest one that was seen. */
export function until(newestAt: string): string {
  return new Date(Date.parse(newestAt) + 1).toISOString();
}
