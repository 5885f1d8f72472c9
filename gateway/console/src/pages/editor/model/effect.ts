import { isRecord } from "./definition";
import type { Edit, Place } from "./edit";
import { placesInText, placesOf, renamed } from "./expressions";

type Fields = Record<string, unknown>;

/** What an edit means for the values, whatever they are written like. */
export function effectOf(value: unknown, edit: Edit): unknown {
  const root: Fields = isRecord(value) ? value : {};
  const nodes = isRecord(root.nodes) ? root.nodes : {};
  switch (edit.is) {
    case "add":
      return { ...root, nodes: { ...nodes, [edit.name]: edit.fields } };
    case "remove": {
      const gone = new Set(edit.names);
      const rest = Object.entries(nodes).filter(([name]) => !gone.has(name));
      return { ...root, nodes: Object.fromEntries(rest.map(([name, node]) => [name, withNeeds(node, (needs) => needs.filter((one) => !gone.has(String(one))))])) };
    }
    case "rename": {
      const all = Object.entries(nodes).map(([name, node]) => [name === edit.name ? edit.to : name, withName(node, edit.name, edit.to)]);
      return { ...root, nodes: Object.fromEntries(all) as unknown, ...("outputs" in root ? { outputs: inTexts(root.outputs, edit.name, edit.to) } : {}) };
    }
    case "connect":
      return { ...root, nodes: { ...nodes, [edit.target]: withNeeds(nodes[edit.target], (needs) => [...needs, edit.source]) } };
    case "disconnect":
      return { ...root, nodes: { ...nodes, [edit.target]: withNeeds(nodes[edit.target], (needs) => needs.filter((one) => one !== edit.source)) } };
    case "set":
      return withValue(root, edit.place, edit.value);
  }
}

function withNeeds(node: unknown, change: (needs: unknown[]) => unknown[]): unknown {
  if (node === null) return withNeeds({}, change);
  if (!isRecord(node)) return node;
  const needs: unknown[] = Array.isArray(node.needs) ? node.needs : [];
  const changed = change(needs);
  return changed.length === needs.length ? node : { ...node, needs: changed };
}

function withName(node: unknown, name: string, to: string): unknown {
  if (!isRecord(node)) return node;
  return Object.fromEntries(
    Object.entries(node).map(([key, value]) => {
      if (key === "needs" && Array.isArray(value)) return [key, value.map((one: unknown) => (one === name ? to : one))];
      if ((key === "when" || key === "for_each") && typeof value === "string") return [key, renamed(value, placesOf(name, value), name, to)];
      return [key, key === "input" || key === "compensate" ? inTexts(value, name, to) : value];
    }),
  );
}

function inTexts(value: unknown, name: string, to: string): unknown {
  if (typeof value === "string") return renamed(value, placesInText(name, value), name, to);
  if (Array.isArray(value)) return value.map((one) => inTexts(one, name, to));
  if (isRecord(value)) return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, inTexts(one, name, to)]));
  return value;
}

function withValue(value: unknown, place: Place, wanted: unknown): unknown {
  const [key, ...rest] = place;
  if (key === undefined) return wanted;
  if (Array.isArray(value)) {
    const list: unknown[] = [...(value as unknown[])];
    if (rest.length === 0 && wanted === undefined) list.splice(Number(key), 1);
    else list[Number(key)] = withValue(list[Number(key)], rest, wanted);
    return list;
  }
  const fields: Fields = isRecord(value) ? { ...value } : {};
  if (rest.length === 0 && wanted === undefined) return Object.fromEntries(Object.entries(fields).filter(([name]) => name !== String(key)));
  if (wanted !== undefined || String(key) in fields) fields[String(key)] = withValue(fields[String(key)], rest, wanted);
  return fields;
}

/** Whether two definitions are the same; what is empty may as well be left out. */
export function isSame(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (isEmpty(one) && isEmpty(other)) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return Number.isNaN(one) && Number.isNaN(other);
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  if (Array.isArray(one) && Array.isArray(other) && one.length !== other.length) return false;
  const keys = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...keys].every((key) => isSame((one as Fields)[key], (other as Fields)[key]));
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || (typeof value === "object" && Object.keys(value).length === 0);
}
