/** What the gateway reads as a text within an expression (`gateway/dags/expressions.py`). */
const TEXT = /[rR]?("{3}[\s\S]*?"{3}|'{3}[\s\S]*?'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')/g;
const NODE = /(?<![\w.])nodes\s*\.\s*([A-Za-z][A-Za-z0-9_]*)/g;
const HOLE = /\$\{(?:[^{}"']|\{[^{}]*\}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')*\}/g;

/** Texts within an expression name nothing. The length stays. */
function withoutTexts(expression: string): string {
  return expression.replace(TEXT, (text) => " ".repeat(text.length));
}

/** The nodes whose results an expression uses. */
export function nodesIn(expression: string): string[] {
  return [...withoutTexts(expression).matchAll(NODE)].map((found) => found[1] ?? "");
}

/** Those that the expressions in a value use: its texts with `${ … }`. */
export function nodesInValue(value: unknown, found = new Set<string>()): Set<string> {
  if (typeof value === "string") for (const hole of value.match(HOLE) ?? []) for (const name of nodesIn(hole)) found.add(name);
  if (typeof value === "object" && value !== null) for (const member of Object.values(value)) nodesInValue(member, found);
  return found;
}

/** Where a node's name stands in the source of an expression. */
export function placesOf(name: string, source: string): number[] {
  return [...withoutTexts(source).matchAll(NODE)].filter((found) => found[1] === name).map((found) => found.index + found[0].length - name.length);
}

/** Where it stands in the `${ … }` of a text. */
export function placesInText(name: string, source: string): number[] {
  return [...source.matchAll(HOLE)].flatMap((hole) => placesOf(name, hole[0]).map((place) => hole.index + place));
}

export function renamed(expression: string, places: number[], name: string, to: string): string {
  return places.reduceRight((text, place) => text.slice(0, place) + to + text.slice(place + name.length), expression);
}
