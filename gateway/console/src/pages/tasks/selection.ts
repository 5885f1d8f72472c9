import type { components } from "../../api/schema";
import type { TaskQuery } from "./filter";

export type TaskSelection = components["schemas"]["NewOperation"]["filter"];

/** What an operation selects when the list is asked for by `query`; null: every task, which no operation takes. */
export function selectionOf(query: TaskQuery): TaskSelection | null {
  const { label, ...rest } = query;
  const labels = Object.fromEntries(
    (label ?? []).map((one) => {
      const colon = one.indexOf(":");
      return colon < 0 ? [one, ""] : [one.slice(0, colon), one.slice(colon + 1)];
    }),
  );
  const selection = { ...rest, ...(Object.keys(labels).length === 0 ? {} : { labels }) } as TaskSelection;
  return Object.keys(selection).length === 0 ? null : selection;
}
