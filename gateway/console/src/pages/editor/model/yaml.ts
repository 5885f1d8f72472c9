import {
  Document,
  type DocumentOptions,
  LineCounter,
  type Node,
  type Pair,
  type ParseOptions,
  Scalar,
  type SchemaOptions,
  type Tags,
  YAMLMap,
  YAMLSeq,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  parseDocument,
} from "yaml";

/** As the gateway reads it: YAML 1.1, whose dates stay texts. */
const OPTIONS: ParseOptions & DocumentOptions & SchemaOptions = {
  version: "1.1",
  merge: true,
  customTags: (tags: Tags) => tags.filter((tag) => typeof tag === "string" || !/timestamp|binary|omap|pairs|set$/.test(tag.tag)),
};
/** A document that expands further than this is refused. */
const MOST_ALIASES = 100_000;

export interface SyntaxFault {
  message: string;
  from: number;
  to: number;
}

/** A text as a tree whose nodes know where they stand. `value` has all aliases written out. */
export interface Parsed {
  text: string;
  document: Document.Parsed;
  value: unknown;
  faults: SyntaxFault[];
  lineOf: (position: number) => number;
}

export function parse(text: string): Parsed {
  const lines = new LineCounter();
  const document = parseDocument(text, { ...OPTIONS, lineCounter: lines, prettyErrors: false, logLevel: "silent" });
  const faults: SyntaxFault[] = document.errors.map((error) => ({
    message: error.message,
    from: Math.min(error.pos[0], text.length),
    to: Math.min(error.pos[1], text.length),
  }));
  let value: unknown = null;
  if (faults.length === 0) {
    try {
      value = document.toJS({ maxAliasCount: MOST_ALIASES });
    } catch (error) {
      faults.push({ message: error instanceof Error ? error.message : String(error), from: 0, to: 0 });
    }
  }
  return { text, document, value, faults, lineOf: (position) => lines.linePos(position).line };
}

/** Where the written value begins, without its anchor, and ends; trailing space and comments are not its own. */
export function startOf(node: Node): number {
  return node.range?.[0] ?? 0;
}

export function endOf(node: Node, text: string): number {
  if ((isMap(node) || isSeq(node)) && node.flow !== true) {
    const last = node.items.at(-1);
    if (last === undefined) return startOf(node);
    return isMap(node) ? endOfPair(last as Pair<Node, Node | null>, text) : endOf(last as Node, text);
  }
  let end = node.range?.[1] ?? 0;
  while (end > startOf(node) && /\s/.test(text[end - 1] ?? "")) end -= 1;
  return end;
}

export function endOfPair(pair: Pair<Node, Node | null>, text: string): number {
  const { key, value } = pair;
  const keyEnd = endOf(key, text);
  const end = value === null ? keyEnd : endOf(value, text);
  if (end > keyEnd) return end;
  // Without a value: behind the colon.
  const colon = text.indexOf(":", keyEnd);
  return colon === -1 ? keyEnd : colon + 1;
}

/** Whether nothing is written there. */
export function isBlank(node: Node | null, text: string): boolean {
  return node === null || (isScalar(node) && text.slice(startOf(node), node.range?.[1]).trim() === "");
}

export function pairOf(map: YAMLMap, key: string): Pair<Node, Node | null> | undefined {
  return map.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === key) as Pair<Node, Node | null> | undefined;
}

/** The keys that stand in a map itself; what `<<` brings in is not its own. */
export function ownKeys(node: unknown): string[] {
  if (!isMap(node)) return [];
  return node.items.flatMap(({ key }) => (isScalar(key) && !isMergeKey(key) ? [String(key.value)] : []));
}

function isMergeKey(key: Scalar): boolean {
  return typeof key.value === "symbol" || key.source === "<<" || key.value === "<<";
}

export { isAlias, isMap, isScalar, isSeq };

/** A value on one line. */
export function inline(value: unknown): string {
  return render(value, true);
}

/** `key: value` on lines of its own, each indented. */
export function block(key: string, value: unknown, indent: number): string {
  const space = " ".repeat(indent);
  return render({ [key]: value }, false)
    .split("\n")
    .map((line) => (line === "" ? line : space + line))
    .join("\n");
}

function render(value: unknown, isFlow: boolean): string {
  const document = new Document(value, OPTIONS);
  const isOneLine = isFlow || typeof value !== "object";
  if (isMap(document.contents) || isSeq(document.contents)) flatten(document.contents, isFlow);
  if (isOneLine) quoteLines(document.contents);
  return document.toString({ lineWidth: 0, flowCollectionPadding: false, directives: false, ...(isOneLine ? { blockQuote: false } : {}) }).trimEnd();
}

/** Lists of plain values stand on one line. */
function flatten(node: YAMLMap | YAMLSeq, isFlow: boolean): void {
  const isPlainList = isSeq(node) && node.items.every((item) => isScalar(item));
  if (isFlow || isPlainList || node.items.length === 0) {
    node.flow = true;
    quoteLines(node);
    return;
  }
  for (const item of node.items) {
    const inner = isMap(node) ? (item as Pair).value : item;
    if (isMap(inner) || isSeq(inner)) flatten(inner, false);
  }
}

/** A text of several lines in one. */
function quoteLines(node: unknown): void {
  if (isScalar(node) && typeof node.value === "string" && /[\n\r]/.test(node.value)) node.type = Scalar.QUOTE_DOUBLE;
  if (isMap(node)) {
    for (const pair of node.items) {
      quoteLines(pair.key);
      quoteLines(pair.value);
    }
  }
  if (isSeq(node)) node.items.forEach(quoteLines);
}
