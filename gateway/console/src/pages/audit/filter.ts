import { jsonText } from "../../api/json";

/** What the list is filtered by, as the address has it. Times are local ones of the reader: `2026-11-29T18:00`. */
export interface AuditSearch {
  action?: unknown;
  who?: unknown;
  subject?: unknown;
  since?: unknown;
  before?: unknown;
}

/** The instant that a local time of the reader means; null: it is none. */
export function instantOfReader(text: string): string | null {
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? null : at.toISOString();
}

type Facts = Record<string, unknown> | null;

/** Each fact that changed, as text; null: there was, or is, none. */
export function changesOf(before: Facts, after: Facts): { name: string; before: string | null; after: string | null }[] {
  const textOf = (facts: Facts, name: string) => {
    const value = facts?.[name];
    if (value === undefined || value === null) return null;
    return typeof value === "string" ? value : jsonText(value);
  };
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  return names.map((name) => ({ name, before: textOf(before, name), after: textOf(after, name) })).filter((one) => one.before !== one.after);
}
