/** An answer that says what went wrong (RFC 9457), or that none came. */
export class Problem extends Error {
  constructor(
    /** HTTP status; 0: no answer came. */
    readonly status: number,
    /** What stands after `urn:taskgate:error:`; `unreachable` when no answer came. */
    readonly code: string,
    readonly detail: string,
    /** Of the error, to be found in the gateway's log. */
    readonly errorId?: string,
  ) {
    super(detail);
    this.name = "Problem";
  }
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** The problem that an answer's body describes; legacy endpoints describe it with `detail` alone. */
export function problemOf(status: number, body: unknown): Problem {
  const members = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  const code = text(members.type)?.split(":").at(-1) ?? String(status);
  return new Problem(status, code, text(members.detail) ?? `HTTP ${status}`, text(members.error_id));
}

export function unreachable(): Problem {
  return new Problem(0, "unreachable", "The gateway does not answer.");
}
