/** A query as the API reads it: lists are repeated names; what is not given is left out. */
export function queryText(query: Readonly<Record<string, unknown>>): string {
  const text = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? (value as unknown[]) : [value]) {
      if (typeof one === "string" || typeof one === "number") text.append(name, String(one));
    }
  }
  return text.toString();
}
