import { inline, parse } from "../model/yaml";

/** A value as it is written in one line of the panel. */
export function written(value: unknown): string {
  if (typeof value !== "string") return inline(value);
  return value !== "" && understood(value)?.value === value && !/[\n\r]/.test(value) ? value : JSON.stringify(value);
}

/** What was written; null: it is no YAML. Nothing is an empty text. */
export function understood(text: string): { value: unknown } | null {
  if (text.trim() === "") return { value: "" };
  const { value, faults } = parse(text);
  return faults.length > 0 ? null : { value };
}

/** What a field for a number says; null: no number, or one with more digits than one of JavaScript has. */
export function numberOf(typed: string): number | null {
  const value = typed === "" ? NaN : Number(typed);
  return Math.abs(value) <= Number.MAX_SAFE_INTEGER ? value : null;
}

/** What stands in such a field. */
export function shownNumber(value: unknown): string {
  return typeof value === "number" || typeof value === "bigint" ? String(value) : "";
}
