import type { Node, Pair, YAMLMap, YAMLSeq } from "yaml";
import { rehomed } from "./anchors";
import { isRecord, parsedOf } from "./definition";
import type { Change, Edit, Place } from "./edit";
import { effectOf, isSame } from "./effect";
import { placesInText, placesOf } from "./expressions";
import { type Parsed, block, endOf, endOfPair, inline, isAlias, isBlank, isMap, isScalar, isSeq, pairOf, startOf } from "./yaml";

type Members = Pair<Node, Node | null>;

/** Indentation of what stands below a key. */
const STEP = 2;

/**
 * The changes of a text that an edit comes to, no larger than it takes: comments, order and anchors stay.
 * Null: it cannot be made so, and the text must be edited itself.
 */
export function changesOf(text: string, edit: Edit): Change[] | null {
  const parsed = parsedOf(text);
  if (parsed.faults.length > 0) return null;
  const wanted = effectOf(parsed.value, edit);
  if (isSame(wanted, parsed.value)) {
    // A connection changes something, unless it leads to what is no node.
    if (edit.is === "connect") return null;
    // The others do, too: a node that says nothing counts as none there.
    if (edit.is === "set" || edit.is === "disconnect") return [];
  }
  const changes = new Writer(parsed).write(edit);
  const ordered = changes.toSorted((one, other) => one.from - other.from || one.to - other.to);
  if (ordered.some((change, at) => at > 0 && change.from < (ordered[at - 1]?.to ?? 0))) return null;
  const written = parsedOf(applied(text, ordered));
  return written.faults.length === 0 && isSame(written.value, wanted) ? ordered : null;
}

export function applied(text: string, changes: readonly Change[]): string {
  return changes.reduceRight((all, { from, to, insert }) => all.slice(0, from) + insert + all.slice(to), text);
}

class Writer {
  private readonly text: string;
  private changes: Change[] = [];
  /** What is taken out. */
  private gone: { from: number; to: number }[] = [];

  constructor(private readonly parsed: Parsed) {
    this.text = parsed.text;
  }

  write(edit: Edit): Change[] {
    switch (edit.is) {
      case "add":
        this.set(["nodes", edit.name], edit.fields);
        break;
      case "remove":
        this.remove(new Set(edit.names));
        break;
      case "rename":
        this.rename(edit.name, edit.to);
        break;
      case "connect":
        this.connect(edit.source, edit.target);
        break;
      case "disconnect":
        this.withoutNeeds(edit.target, new Set([edit.source]));
        break;
      case "set":
        this.set(edit.place, edit.value);
    }
    return [...this.changes, ...rehomed(this.parsed, this.gone)];
  }

  // Values ------------------------------------------------------------------------------------------------------

  private set(place: Place, value: unknown): void {
    let node: Node | null = this.parsed.document.contents;
    let holder: Members | null = null;
    let known: unknown = this.parsed.value;
    for (const [at, key] of place.entries()) {
      const rest = place.slice(at + 1);
      if (isSeq(node)) {
        const item = node.items[Number(key)] as Node | undefined;
        if (item === undefined) return;
        if (rest.length === 0) this.replace(item, value);
        known = (known as unknown[])[Number(key)];
        node = item;
        holder = null;
        continue;
      }
      const inner = isRecord(known) ? known[String(key)] : undefined;
      const next = rest.length === 0 ? value : effectOf(isRecord(inner) || Array.isArray(inner) ? inner : {}, { is: "set", place: rest, value });
      if (isAlias(node)) {
        // This place alone becomes another; the others that name the same stay.
        const from = startOf(node);
        const to = node.range?.[1] ?? from;
        this.changes.push({ from, to, insert: value === undefined ? inline(effectOf(known, { is: "set", place: place.slice(at), value })) : `{<<: ${this.text.slice(from, to)}, ${member(String(key), next)}}` });
        return;
      }
      if (!isMap(node)) {
        if (value === undefined) return;
        this.fill(node, holder, String(key), next);
        return;
      }
      const found = pairOf(node, String(key));
      if (found === undefined) {
        if (value !== undefined) this.insert(node, holder, String(key), next);
        return;
      }
      if (rest.length === 0) {
        if (value === undefined) this.takeOut([{ map: node, pair: found }]);
        else if (isBlank(found.value, this.text)) this.fillBlank(found, value);
        else if (found.value !== null) this.replace(found.value, value);
        return;
      }
      known = inner;
      node = found.value;
      holder = found;
    }
  }

  private replace(node: Node, value: unknown): void {
    const to = endOf(node, this.text);
    // With its anchor: other places that have it keep the old value.
    const from = isAlias(node) ? startOf(node) : this.startWithAnchor(node);
    this.gone.push({ from, to });
    this.changes.push({ from, to, insert: inline(value) });
  }

  private startWithAnchor(node: Node): number {
    const anchor = (node as { anchor?: string }).anchor;
    if (anchor === undefined) return startOf(node);
    const at = this.text.lastIndexOf(`&${anchor}`, startOf(node));
    return at === -1 ? startOf(node) : at;
  }

  /** Where a mapping should be, there is none yet. */
  private fill(node: Node | null, holder: Members | null, key: string, value: unknown): void {
    if (node !== null && !isBlank(node, this.text)) {
      this.replace(node, { [key]: value });
      return;
    }
    const indent = holder === null ? 0 : this.indentOf(startOf(holder.key)) + STEP;
    if (holder !== null) {
      if (this.isInFlow(holder)) this.fillBlank(holder, { [key]: value });
      else this.addLines(this.endOfLine(endOfPair(holder, this.text)), block(key, value, indent));
      return;
    }
    this.addLines(this.text.length, block(key, value, 0));
  }

  private fillBlank(pair: Members, value: unknown): void {
    const at = endOfPair(pair, this.text);
    this.changes.push({ from: at, to: at, insert: ` ${inline(value)}` });
  }

  private insert(map: YAMLMap, holder: Members | null, key: string, value: unknown): void {
    const last = map.items.at(-1) as Members | undefined;
    if (map.flow === true) {
      const close = (map.range?.[1] ?? 0) - 1;
      if (last === undefined && holder !== null && !this.isInFlow(holder) && !this.text.slice(startOf(map), close).includes("#")) {
        const indent = this.indentOf(startOf(holder.key)) + STEP;
        this.changes.push({ from: startOf(map), to: close + 1, insert: `\n${block(key, value, indent)}` });
      } else if (last === undefined) {
        this.changes.push({ from: startOf(map) + 1, to: startOf(map) + 1, insert: member(key, value) });
      } else this.addToFlow(endOfPair(last, this.text), member(key, value));
      return;
    }
    if (last === undefined) return;
    const first = (map.items[0] as Members).key;
    this.addLines(this.endOfLine(endOfPair(last, this.text)), block(key, value, this.columnOf(startOf(first))));
  }

  private addToFlow(end: number, item: string): void {
    const comma = /^\s*,/.exec(this.text.slice(end, end + 200));
    const at = comma === null ? end : end + comma[0].length;
    this.changes.push({ from: at, to: at, insert: comma === null ? `, ${item}` : ` ${item},` });
  }

  private addLines(at: number, lines: string): void {
    const isAtStart = at === 0 || this.text[at - 1] === "\n";
    this.changes.push({ from: at, to: at, insert: isAtStart ? `${lines}\n` : `\n${lines}` });
  }

  // Taking out --------------------------------------------------------------------------------------------------

  private remove(names: ReadonlySet<string>): void {
    const nodes = this.nodes();
    if (nodes === null) return;
    const pairs = nodes.items.filter((pair) => isScalar(pair.key) && names.has(String(pair.key.value))) as Members[];
    this.takeOut(pairs.map((pair) => ({ map: nodes, pair })), true);
    for (const pair of nodes.items) if (isScalar(pair.key) && !names.has(String(pair.key.value))) this.withoutNeeds(String(pair.key.value), names);
  }

  private takeOut(found: readonly { map: YAMLMap; pair: Members }[], withRemark = false): void {
    const map = found[0]?.map;
    if (map === undefined) return;
    const own = found.map(({ pair }) => ({ from: startOf(pair.key), to: endOfPair(pair, this.text) }));
    this.gone.push(...own);
    if (found.length === map.items.length) {
      // An empty mapping keeps the comments around.
      const [first, ...rest] = own;
      if (map.flow === true) this.changes.push({ from: (first?.from ?? 0), to: own.at(-1)?.to ?? 0, insert: "" });
      else {
        this.changes.push({ ...(first ?? { from: 0, to: 0 }), insert: "{}" });
        for (const range of rest) this.changes.push(this.wholeLines(range, withRemark));
      }
      return;
    }
    for (const range of own) this.changes.push(map.flow === true ? this.withComma(range) : this.wholeLines(range, withRemark));
  }

  /** A range with the rest of its lines, if nothing else stands there. A remark stays, unless it is `withRemark`. */
  private wholeLines({ from, to }: { from: number; to: number }, withRemark = false): Change {
    const start = this.text.lastIndexOf("\n", from - 1) + 1;
    const end = this.endOfLine(to);
    const hasRemark = !withRemark && this.text.slice(to, end).includes("#");
    if (hasRemark || this.text.slice(start, from).trim() !== "") {
      const space = hasRemark ? (/^\s*/.exec(this.text.slice(to, end))?.[0].length ?? 0) : 0;
      return { from, to: to + space, insert: "" };
    }
    return this.text[end] === "\n" ? { from: start, to: end + 1, insert: "" } : { from: Math.max(0, start - 1), to: end, insert: "" };
  }

  private withComma({ from, to }: { from: number; to: number }): Change {
    const after = /^\s*,[^\S\n]*/.exec(this.text.slice(to, to + 200));
    if (after !== null) return { from, to: to + after[0].length, insert: "" };
    const before = /,\s*$/.exec(this.text.slice(Math.max(0, from - 200), from));
    return { from: from - (before?.[0].length ?? 0), to, insert: "" };
  }

  // What nodes wait for -------------------------------------------------------------------------------------------

  private connect(source: string, target: string): void {
    const node = this.node(target);
    const needs = isMap(node) ? pairOf(node, "needs")?.value : undefined;
    if (!isSeq(needs)) {
      const value = this.valueOf(target);
      const known: unknown[] = isRecord(value) && Array.isArray(value.needs) ? value.needs : [];
      this.set(["nodes", target, "needs"], [...known, source]);
      return;
    }
    const last = needs.items.at(-1) as Node | undefined;
    if (last === undefined) this.changes.push({ from: startOf(needs), to: needs.range?.[1] ?? 0, insert: inline([source]) });
    else if (needs.flow === true) this.addToFlow(endOf(last, this.text), inline(source));
    else this.addLines(this.endOfLine(endOf(last, this.text)), `${" ".repeat(this.columnOf(startOf(needs)))}- ${inline(source)}`);
  }

  private withoutNeeds(target: string, names: ReadonlySet<string>): void {
    const node = this.node(target);
    const pair = isMap(node) ? pairOf(node, "needs") : undefined;
    if (!isMap(node) || pair === undefined || !isSeq(pair.value)) {
      const value = this.valueOf(target);
      const known: unknown[] = isRecord(value) && Array.isArray(value.needs) ? value.needs : [];
      const rest = known.filter((one) => !names.has(String(one)));
      if (rest.length < known.length) this.set(["nodes", target, "needs"], rest);
      return;
    }
    const needs = pair.value;
    const gone = (needs.items as Node[]).filter((item) => names.has(this.nameOf(item)));
    if (gone.length === 0) return;
    const from = startOf(pair.key);
    const hasComment = this.text.slice(from, this.endOfLine(endOfPair(pair, this.text))).includes("#");
    if (gone.length === needs.items.length && node.items.length > 1 && !hasComment) this.takeOut([{ map: node, pair }]);
    else if (needs.flow === true) this.withoutItems(needs, new Set(gone), hasComment);
    else if (gone.length === needs.items.length) {
      for (const [at, item] of gone.entries()) {
        const range = { from: this.dashOf(item), to: endOf(item, this.text) };
        this.changes.push(at === 0 ? { ...range, insert: "[]" } : this.wholeLines(range));
      }
    } else for (const item of gone) this.changes.push(this.wholeLines({ from: this.dashOf(item), to: endOf(item, this.text) }));
  }

  private withoutItems(needs: YAMLSeq, gone: ReadonlySet<Node>, hasComment: boolean): void {
    if (hasComment || gone.size === 1) {
      for (const item of gone) this.changes.push(this.withComma({ from: startOf(item), to: endOf(item, this.text) }));
      return;
    }
    const rest = (needs.items as Node[]).filter((item) => !gone.has(item)).map((item) => this.text.slice(startOf(item), endOf(item, this.text)));
    this.changes.push({ from: startOf(needs), to: needs.range?.[1] ?? 0, insert: `[${rest.join(", ")}]` });
  }

  private dashOf(item: Node): number {
    return this.text.lastIndexOf("-", startOf(item));
  }

  private nameOf(item: Node): string {
    return String(item.toJS(this.parsed.document));
  }

  // Names -------------------------------------------------------------------------------------------------------

  private rename(name: string, to: string): void {
    const nodes = this.nodes();
    const root = this.parsed.document.contents;
    for (const pair of (nodes?.items ?? []) as Members[]) {
      if (isScalar(pair.key) && pair.key.value === name) this.changes.push({ from: startOf(pair.key), to: endOf(pair.key, this.text), insert: to });
      if (!isMap(pair.value)) continue;
      for (const { key, value } of pair.value.items as Members[]) {
        const field = isScalar(key) ? String(key.value) : "";
        if (field === "needs") this.renameIn(value, (text, isWhole) => (isWhole && text === name ? [0] : []), name, to);
        else if (field === "when" || field === "for_each") this.renameIn(value, (text) => placesOf(name, text), name, to);
        else this.renameIn(value, (text) => placesInText(name, text), name, to);
      }
    }
    if (isMap(root)) this.renameIn(pairOf(root, "outputs")?.value ?? null, (text) => placesInText(name, text), name, to);
  }

  /** Names need no escapes: in expressions they stand in the source as they are. */
  private renameIn(node: Node | null, places: (text: string, isWhole: boolean) => number[], name: string, to: string): void {
    if (isMap(node)) for (const pair of node.items as Members[]) this.renameIn(pair.value, places, name, to);
    else if (isSeq(node)) for (const item of node.items as Node[]) this.renameIn(item, places, name, to);
    else if (isScalar(node) && typeof node.value === "string") {
      const from = startOf(node);
      const isWhole = node.value === name;
      const source = this.text.slice(from, endOf(node, this.text));
      // In the source, an expression may be quoted: its own quotes are no texts of the expression.
      const quote = /^["']/.exec(source) ? 1 : 0;
      for (const at of places(source.slice(quote), isWhole && source.slice(quote, quote + name.length) === name)) {
        // Alone, `no` is another value.
        this.changes.push({ from: from + quote + at, to: from + quote + at + name.length, insert: isWhole && quote === 0 ? inline(to) : to });
      }
      if (isWhole && quote === 1) {
        const found = places(name, true);
        if (found.length === 1 && !this.changes.some((change) => change.from === from + 1)) this.changes.push({ from: from + 1, to: from + 1 + name.length, insert: to });
      }
    }
  }

  // The text ----------------------------------------------------------------------------------------------------

  private nodes(): YAMLMap | null {
    const root = this.parsed.document.contents;
    const nodes = isMap(root) ? pairOf(root, "nodes")?.value : null;
    return isMap(nodes) ? nodes : null;
  }

  private node(name: string): Node | null {
    const nodes = this.nodes();
    return nodes === null ? null : (pairOf(nodes, name)?.value ?? null);
  }

  private valueOf(name: string): unknown {
    const root = this.parsed.value;
    const nodes = isRecord(root) ? root.nodes : null;
    return isRecord(nodes) ? nodes[name] : null;
  }

  private endOfLine(position: number): number {
    const end = this.text.indexOf("\n", position);
    return end === -1 ? this.text.length : end;
  }

  private columnOf(position: number): number {
    return position - (this.text.lastIndexOf("\n", position - 1) + 1);
  }

  private indentOf(position: number): number {
    const start = this.text.lastIndexOf("\n", position - 1) + 1;
    return /^ */.exec(this.text.slice(start, position))?.[0].length ?? 0;
  }

  /** Whether a member stands within `{ … }`. */
  private isInFlow(pair: Members): boolean {
    const start = this.text.lastIndexOf("\n", startOf(pair.key) - 1) + 1;
    return /[{,]/.test(this.text.slice(start, startOf(pair.key)));
  }
}

function member(key: string, value: unknown): string {
  return inline({ [key]: value }).replace(/^\{\s*|\s*\}$/g, "");
}
