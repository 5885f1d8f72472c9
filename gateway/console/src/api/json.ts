/** JSON whose whole numbers keep their digits: those beyond 2^53 are `bigint`, if the browser tells what was written. */

type Reviver = (key: string, value: unknown, context?: { source?: string }) => unknown;

const exact: Reviver = (_, value, context) => {
  const written = context?.source ?? "";
  return typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(written) ? BigInt(written) : value;
};

export function readJson(text: string): unknown {
  // To look at each value takes much longer than to read them.
  return /\d{16}/.test(text) ? JSON.parse(text, exact) : JSON.parse(text);
}

/** `space`: for people, that many spaces to a level. Throws `TypeError` for a `bigint` that the browser cannot write. */
export function jsonText(value: unknown, space?: number): string {
  const { rawJSON } = JSON as { rawJSON?: (text: string) => unknown };
  return JSON.stringify(value, (_, one: unknown) => (typeof one === "bigint" && rawJSON !== undefined ? rawJSON(String(one)) : one), space);
}
