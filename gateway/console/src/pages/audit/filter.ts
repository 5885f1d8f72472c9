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
