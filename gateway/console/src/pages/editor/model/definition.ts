import { nodesIn, nodesInValue } from "./expressions";
import { type Parsed, type SyntaxFault, endOfPair, isMap, isMergeKey, isScalar, ownKeys, pairOf, parse, startOf } from "./yaml";

export const KINDS = ["type", "dag", "approval", "signal"] as const;
export type Kind = (typeof KINDS)[number];

/** A node as the text says. */
export interface DagNode {
  name: string;
  /** Null: it is none of the four, or several. */
  kind: Kind | null;
  /** The task type, the DAG, the message or the signal's name. */
  does: string;
  /** All that it says, also what comes by an alias. */
  fields: Record<string, unknown>;
  /** Of `input`: the keys that stand in it, not in what it takes over. */
  ownInput: readonly string[];
  /** Nodes that it names, and those whose results it uses. */
  needs: readonly string[];
  uses: readonly string[];
  from: number;
  to: number;
}

export interface DagParameter {
  name: string;
  fields: Record<string, unknown>;
  from: number;
}

/** What the outline, the canvas and the panel show. It is read from the text, and from nothing else. */
export interface Definition {
  /** Of the text it was read from; false: the text is no YAML, and the rest is empty. */
  isRead: boolean;
  faults: readonly SyntaxFault[];
  name: string | null;
  params: readonly DagParameter[];
  nodes: readonly DagNode[];
  outputs: Record<string, unknown>;
  fields: Record<string, unknown>;
}

/** The same text is not read twice. */
let last: Parsed | null = null;

export function parsedOf(text: string): Parsed {
  if (last?.text !== text) last = parse(text);
  return last;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function recordOf(value: unknown): Record<string, unknown> {
  return isRecord(value) ? value : {};
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

export function readDefinition(text: string): Definition {
  const parsed = parsedOf(text);
  const value = recordOf(parsed.value);
  const root = parsed.document.contents;
  const sectionOf = (name: string) => {
    const section = isMap(root) ? pairOf(root, name)?.value : null;
    return isMap(section) ? section : null;
  };
  const params = sectionOf("params");
  const nodes = sectionOf("nodes");
  const names = new Set(Object.keys(recordOf(value.nodes)));
  return {
    isRead: parsed.faults.length === 0,
    faults: parsed.faults,
    name: isText(value.name) ? value.name : null,
    params: Object.entries(recordOf(value.params)).map(([name, fields]) => ({
      name,
      fields: recordOf(fields),
      from: (params && startOfPair(params, name)) ?? 0,
    })),
    nodes: placesOfNodes().map(({ name, from, to, node }) => {
      const fields = recordOf(recordOf(value.nodes)[name]);
      return { ...readNode(name, fields, names), ownInput: isMap(node) ? ownKeys(pairOf(node, "input")?.value) : [], from, to };
    }),
    outputs: recordOf(value.outputs),
    fields: value,
  };

  /** Those that `<<` brings in stand where it does. */
  function placesOfNodes() {
    const own = new Set(ownKeys(nodes));
    return (nodes?.items ?? []).flatMap((pair) => {
      if (!isScalar(pair.key)) return [];
      const place = { from: startOf(pair.key), to: endOfPair(pair as never, text) };
      if (!isMergeKey(pair.key)) return [{ name: String(pair.key.value), ...place, node: pair.value }];
      const broughtIn = [...names].filter((name) => !own.has(name));
      for (const name of broughtIn) own.add(name);
      return broughtIn.map((name) => ({ name, ...place, node: null }));
    });
  }
  function startOfPair(map: NonNullable<typeof params>, name: string): number | undefined {
    const key = pairOf(map, name)?.key;
    return key && startOf(key);
  }
}

function readNode(name: string, fields: Record<string, unknown>, names: ReadonlySet<string>) {
  const kinds = KINDS.filter((kind) => fields[kind] !== undefined && fields[kind] !== null);
  const kind = kinds.length === 1 ? (kinds[0] ?? null) : null;
  const needs = Array.isArray(fields.needs) ? fields.needs.filter(isText) : [];
  const uses = nodesInValue([fields.input, recordOf(fields.compensate).input]);
  for (const expression of [fields.when, fields.for_each]) {
    if (!isText(expression)) continue;
    for (const used of nodesIn(expression)) uses.add(used);
  }
  // In what undoes a node, its own result is one of the values.
  uses.delete(name);
  return {
    name,
    kind,
    does: kind === null ? "" : doesOf(kind, fields[kind]),
    fields,
    needs,
    uses: [...uses].filter((used) => names.has(used) && !needs.includes(used)),
  };
}

function doesOf(kind: Kind, value: unknown): string {
  const told = kind === "approval" ? recordOf(value).message : kind === "signal" ? recordOf(value).name : value;
  return isText(told) ? told : "";
}

/** What each node waits for. Names of nodes that do not exist are left out; `isNamed`: it stands in `needs`. */
export function edgesOf({ nodes }: Pick<Definition, "nodes">): { source: string; target: string; isNamed: boolean }[] {
  const names = new Set(nodes.map((node) => node.name));
  return nodes.flatMap((node) => [
    ...[...new Set(node.needs)].filter((source) => names.has(source)).map((source) => ({ source, target: node.name, isNamed: true })),
    ...node.uses.map((source) => ({ source, target: node.name, isNamed: false })),
  ]);
}
