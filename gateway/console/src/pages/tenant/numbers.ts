/** What stands in a field for a limit; null: none; undefined: it is no limit. */
export function limitOf(text: string): number | null | undefined {
  const digits = text.trim();
  if (digits === "") return null;
  const value = Number(digits);
  return /^\d+$/.test(digits) && Number.isSafeInteger(value) ? value : undefined;
}

/** The share of a queue that stands in a field; undefined: it is none. */
export function weightOf(text: string): number | undefined {
  const value = text.trim() === "" ? NaN : Number(text);
  return value >= 0.001 && value <= 1000 ? value : undefined;
}
