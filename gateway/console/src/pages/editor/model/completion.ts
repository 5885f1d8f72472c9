import { type Definition, type DagNode, edgesOf } from "./definition";

export interface Suggestion {
  label: string;
  /** What it is, in a word. */
  detail?: string;
  /** Written behind it: more is to follow. */
  more?: string;
}

export interface Suggestions {
  /** Where what is completed begins. */
  from: number;
  found: Suggestion[];
}

export interface Known {
  types: readonly string[];
  dags: readonly string[];
}

const NODE_FIELDS = [
  "type", "dag", "approval", "signal", "description", "needs", "input", "when", "if_skipped", "for_each", "max_parallel",
  "retry", "timeout_seconds", "priority", "on_failure", "compensate",
]; // prettier-ignore

const named = (names: readonly string[], detail?: string): Suggestion[] => names.map((label) => ({ label, ...(detail === undefined ? {} : { detail }) }));

/** Names that an expression may go on with. `self`: the node that it stands in; what waits for it has no result yet. */
export function inExpression(before: string, definition: Definition, self: DagNode | undefined): Suggestions | null {
  const at = (found: string, suggestions: Suggestion[]) => ({ from: before.length - found.length, found: suggestions });
  const member = /(?<![\w.])nodes\.(\w+)\.(\w*)$/.exec(before);
  if (member !== null) {
    const node = definition.nodes.find((one) => one.name === member[1]);
    const results = node?.fields.for_each === undefined ? ["result"] : ["results", "failed"];
    return at(member[2] ?? "", named([...results, "status", "error", "ref"]));
  }
  const node = /(?<![\w.])nodes\.(\w*)$/.exec(before);
  if (node !== null) return at(node[1] ?? "", earlier(definition, self).map((one) => ({ label: one.name, detail: one.does })));
  const parameter = /(?<![\w.])params\.(\w*)$/.exec(before);
  if (parameter !== null) {
    return at(parameter[1] ?? "", definition.params.map(({ name, fields }) => ({ label: name, detail: typeof fields.type === "string" ? fields.type : "any" })));
  }
  const run = /(?<![\w.])run\.(\w*)$/.exec(before);
  if (run !== null) return at(run[1] ?? "", named(["id", "started_at"]));
  const word = /(?<![\w.])([A-Za-z]\w*)?$/.exec(before);
  if (word === null) return null;
  const roots: Suggestion[] = [{ label: "nodes", more: "." }, { label: "params", more: "." }, { label: "run", more: "." }];
  return at(word[1] ?? "", self?.fields.for_each === undefined ? roots : [...roots, ...named(["item", "index"])]);
}

/** Nodes that do not wait for this one. */
function earlier(definition: Definition, self: DagNode | undefined): readonly DagNode[] {
  if (self === undefined) return definition.nodes;
  const after = new Set([self.name]);
  const edges = edgesOf(definition);
  for (let size = 0; size < after.size; ) {
    size = after.size;
    for (const { source, target } of edges) if (after.has(source)) after.add(target);
  }
  return definition.nodes.filter((node) => !after.has(node.name));
}

/** What a text of `${ … }` may go on with; null: there is no expression at its end. */
export function inText(before: string, definition: Definition, self: DagNode | undefined): Suggestions | null {
  const open = before.lastIndexOf("${");
  if (open === -1 || before.includes("}", open)) return null;
  const found = inExpression(before.slice(open + 2), definition, self);
  return found && { ...found, from: found.from + open + 2 };
}

/** What may stand at a place of the whole text. */
export function inYaml(text: string, position: number, definition: Definition, known: Known): Suggestions | null {
  const start = text.lastIndexOf("\n", position - 1) + 1;
  const line = text.slice(start, position);
  const self = definition.nodes.findLast((node) => node.from <= position);
  const shifted = (found: Suggestions | null, by: number) => found && { ...found, from: found.from + by };
  const expression = /^.*\b(?:when|for_each):\s*(.*)$/.exec(line);
  if (expression !== null) return shifted(inExpression(expression[1] ?? "", definition, self), position - (expression[1] ?? "").length);
  const inside = inText(line, definition, self);
  if (inside !== null) return shifted(inside, start);
  const value = /\b(type|dag|on_failure|if_skipped):\s*(\S*)$/.exec(line);
  if (value !== null) return { from: position - (value[2] ?? "").length, found: valuesOf(value[1] ?? "", self, known) };
  const need = /\bneeds:\s*\[(?:[^\]]*,\s*)?(\w*)$/.exec(line) ?? /^\s+-\s+(\w*)$/.exec(line);
  if (need !== null) return { from: position - (need[1] ?? "").length, found: earlier(definition, self).map((one) => ({ label: one.name, detail: one.does })) };
  const key = /^ {4}(\w*)$/.exec(line);
  if (key !== null) return { from: position - (key[1] ?? "").length, found: named(NODE_FIELDS).map((one) => ({ ...one, more: ": " })) };
  return null;
}

function valuesOf(field: string, self: DagNode | undefined, known: Known): Suggestion[] {
  if (field === "dag") return named(known.dags);
  if (field === "on_failure") return named(["fail", "continue", "compensate"]);
  if (field === "if_skipped") return named(["auto", "run", "skip"]);
  return named(self === undefined ? ["string", "integer", "number", "boolean", "list", "object", "any"] : known.types);
}
