/** A value of the address that is a text; else an empty one. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** What a form says, for the address or a query: empty fields are left out. */
export function given<K extends string>(fields: Record<K, string>): Partial<Record<K, string>> {
  const entries = Object.entries<string>(fields).map(([name, text]) => [name, text.trim()] as const);
  return Object.fromEntries(entries.filter(([, text]) => text !== "")) as Partial<Record<K, string>>;
}
