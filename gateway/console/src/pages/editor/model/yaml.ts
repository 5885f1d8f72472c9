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
  visit,
} from "yaml";

/** Texts that the gateway's reader (PyYAML) takes for something else; `y` and `1e3`, say, stay texts. */
const READ_AS: Record<string, RegExp> = {
  bool: /^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$/,
  int: /^[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|[1-9][0-9_]*(?::[0-5]?[0-9])+)$/,
  float: /^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/,
};

/** Tags of values that JSON does not have. */
const NOT_JSON = /timestamp|binary|omap|pairs|set$/;

/** As the gateway reads it: YAML 1.1, whatever `%YAML` says, whose dates stay texts, as do all keys. */
const OPTIONS: ParseOptions & DocumentOptions & SchemaOptions = {
  version: "1.1",
  schema: "yaml-1.1",
  merge: true,
  resolveKnownTags: false,
  stringKeys: true,
  // The library compares each with each.
  uniqueKeys: false,
  customTags: (tags: Tags) => without(NOT_JSON, tags).map(narrowed),
};

/** As it is written. Other readers of YAML 1.1 take more texts for something else: they are quoted, too. */
const WRITING: typeof OPTIONS = { ...OPTIONS, merge: false, customTags: (tags) => without(/merge$/, without(NOT_JSON, tags)), compat: "yaml-1.1" };

function without(names: RegExp, tags: Tags): Tags {
  return tags.filter((tag) => typeof tag === "string" || !names.test(tag.tag));
}

function narrowed(tag: Tags[number]): Tags[number] {
  if (typeof tag === "string" || tag.test === undefined) return tag;
  const name = tag.tag.replace(/.*:/, "");
  const known = READ_AS[name];
  if (known === undefined) return tag;
  const test = new RegExp(`(?=${known.source})${tag.test.source}`);
  if (name !== "int") return { ...tag, test };
  // What a number cannot hold is a `bigint`.
  const resolve: typeof tag.resolve = (text, refuse, options) => {
    const whole = tag.resolve(text, refuse, { ...options, intAsBigInt: true });
    return Number.isSafeInteger(Number(whole)) ? Number(whole) : whole;
  };
  return { ...tag, test, resolve };
}

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
  const document = parseDocument(text, { ...OPTIONS, lineCounter: lines, prettyErrors: false, logLevel: "error" });
  // A warning is of a tag that it does not know.
  const faults: SyntaxFault[] = [...document.errors, ...document.warnings].map((error) => ({
    message: error.message,
    from: Math.min(error.pos[0], text.length),
    to: Math.min(error.pos[1], text.length),
  }));
  if (faults.length === 0) faults.push(...refusedIn(document));
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

/** What YAML allows and the gateway's reader does not. */
function refusedIn(document: Document.Parsed): SyntaxFault[] {
  const faults: SyntaxFault[] = [];
  const refuse = (node: Node, message: string) => faults.push({ message, from: startOf(node), to: node.range?.[1] ?? startOf(node) });
  const anchored = new Map<string, Node>();
  const note = (node: YAMLMap | YAMLSeq) => {
    if (node.anchor !== undefined) anchored.set(node.anchor, node);
  };
  visit(document, {
    Map(_, map) {
      note(map);
      const known = new Set<unknown>();
      for (const { key } of map.items) {
        if (!isScalar(key) || isMergeKey(key)) continue;
        if (known.has(key.value)) refuse(key as Node, "this key stands here twice");
        known.add(key.value);
      }
    },
    Seq(_, seq) {
      note(seq);
    },
    Scalar(key, scalar) {
      const { value, type, source = "" } = scalar;
      if (key === "key") {
        if (source === "" && type === Scalar.PLAIN) refuse(scalar, "a key is missing before the colon");
      } else if (typeof value === "number") {
        if (!Number.isFinite(value)) refuse(scalar, "this is no finite number");
      } else if (typeof value === "bigint") {
        // Only what has a point may be larger.
        if (value >= 2 ** 64 || value < -(2 ** 63)) refuse(scalar, "this number is too large");
      } else if (value === "=" && type === Scalar.PLAIN) refuse(scalar, "`=` alone needs quotes");
    },
    Alias(_, alias) {
      if (startOf(alias) < (anchored.get(alias.source)?.range?.[1] ?? 0)) refuse(alias, "this names what it stands in");
    },
  });
  return faults;
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
  return map.items.find((pair) => isScalar(pair.key) && pair.key.value === key) as Pair<Node, Node | null> | undefined;
}

/** The keys that stand in a map itself; what `<<` brings in is not its own. */
export function ownKeys(node: unknown): string[] {
  if (!isMap(node)) return [];
  return node.items.flatMap(({ key }) => (isScalar(key) && !isMergeKey(key) ? [String(key.value)] : []));
}

/** `<<`, without quotes: it brings in what another map says. */
export function isMergeKey(key: Scalar): boolean {
  return key.value === "<<" && key.type === Scalar.PLAIN;
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

/** A whole document. */
export function written(value: unknown): string {
  return documentOf(value).toString({ lineWidth: 0, directives: false });
}

function documentOf(value: unknown): Document {
  const document = new Document(value, WRITING);
  visit(document, {
    Scalar(_, scalar) {
      if (scalar.value === "=" || scalar.value === "<<") scalar.type = Scalar.QUOTE_DOUBLE;
    },
  });
  return document;
}

function render(value: unknown, isFlow: boolean): string {
  const document = documentOf(value);
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
