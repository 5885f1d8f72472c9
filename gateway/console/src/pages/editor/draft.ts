/** What was written and not saved yet. It never holds a key. */
export interface Draft {
  text: string;
  /** The version that it was made from; 0: none. */
  base: number;
  at: string;
}

/** Drafts of one user are not another's, and those of one tenant not another's. */
export function draftKey(userId: string, tenantId: string | null, name: string): string {
  return `taskgate.draft.${JSON.stringify([userId, tenantId, name])}`;
}

export function readDraft(key: string): Draft | null {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(key) ?? "null");
    if (typeof kept !== "object" || kept === null) return null;
    const { text, base, at } = kept as Partial<Draft>;
    return typeof text === "string" && typeof base === "number" && typeof at === "string" ? { text, base, at } : null;
  } catch {
    return null;
  }
}

/** False: the browser keeps no more. */
export function keepDraft(key: string, draft: Draft): boolean {
  try {
    localStorage.setItem(key, JSON.stringify(draft));
    return true;
  } catch {
    return false;
  }
}

export function dropDraft(key: string): void {
  localStorage.removeItem(key);
}
