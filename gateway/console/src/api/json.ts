import { Problem } from "./problem";

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

/** `space`: for people, that many spaces to a level. Throws a `Problem` for a `bigint` that the browser cannot write. */
export function jsonText(value: unknown, space?: number): string {
  const { rawJSON } = JSON as { rawJSON?: (text: string) => unknown };
  const written = (_: string, one: unknown) => {
    if (typeof one !== "bigint") return one;
    if (rawJSON === undefined) throw new Problem(0, "number", `This browser cannot send the whole number ${one}: a newer one can, or put it in quotes.`);
    return rawJSON(String(one));
  };
  return JSON.stringify(value, written, space);
}
