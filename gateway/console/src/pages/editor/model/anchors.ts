import { type Alias, type Node, visit } from "yaml";
import type { Change } from "./edit";
import { type Parsed, inline, startOf } from "./yaml";

interface Range {
  from: number;
  to: number;
}

const isWithin = (position: number, ranges: readonly Range[]) => ranges.some(({ from, to }) => from <= position && position < to);

/** What is taken out of a text may be named elsewhere: the first place that names it becomes the one that says it. */
export function rehomed({ text, document }: Parsed, gone: readonly Range[]): Change[] {
  if (!gone.some(({ from, to }) => text.slice(from, to).includes("&"))) return [];
  const changes: Change[] = [];
  const done = new Set<Node>();
  visit(document, {
    Alias(_, alias: Alias) {
      const source = alias.resolve(document);
      if (source === undefined || done.has(source) || isWithin(startOf(alias), gone) || !isWithin(startOf(source), gone)) return;
      done.add(source);
      const value: unknown = source.toJS(document, { maxAliasCount: -1 });
      const [from, to] = alias.range ?? [0, 0];
      changes.push({ from, to, insert: `&${alias.source} ${inline(value)}` });
    },
  });
  return changes;
}
