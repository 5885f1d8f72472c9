/** A place in a definition: `["nodes", "fetch", "retry", "attempts"]`. */
export type Place = readonly (string | number)[];

/** One change that is made on the canvas, in the outline or in the panel. */
export type Edit =
  | { is: "add"; name: string; fields: Record<string, unknown> }
  | { is: "remove"; names: readonly string[] }
  | { is: "rename"; name: string; to: string }
  | { is: "connect"; source: string; target: string }
  | { is: "disconnect"; source: string; target: string }
  /** Without a value, what stands there is taken out. */
  | { is: "set"; place: Place; value?: unknown };

export interface Change {
  from: number;
  to: number;
  insert: string;
}

/** The names of nodes and parameters. */
export const IDENTIFIER = /^[A-Za-z][A-Za-z0-9_]{0,62}$/;
