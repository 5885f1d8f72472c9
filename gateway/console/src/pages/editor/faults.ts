import type { Definition } from "./model/definition";
import type { Checked } from "./useCheck";

export interface Fault {
  message: string;
  line: number | null;
  column: number | null;
  /** Where it is shown beside the text: an id of the outline. */
  at: string;
}

/** Those of the text itself at once, then those that the gateway finds. */
export function faultsOf(text: string, latest: Definition, checked: Checked | null): Fault[] {
  if (latest.faults.length > 0) {
    return latest.faults.map(({ message, from }) => {
      const before = text.slice(0, from);
      const line = before.split("\n").length;
      return { message, line, column: from - before.lastIndexOf("\n"), at: "dag" };
    });
  }
  return (checked?.check?.faults ?? []).map(({ message, line, column, place }) => ({ message, line, column, at: placeOf(place) }));
}

function placeOf(place: string): string {
  const [, section, name] = place.split("/");
  if (section === "nodes") return name === undefined ? "nodes" : `node:${name}`;
  if (section === "params") return name === undefined ? "params" : `param:${name}`;
  return section === "outputs" ? "outputs" : "dag";
}

export function countByPlace(faults: readonly Fault[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { at } of faults) counts.set(at, (counts.get(at) ?? 0) + 1);
  return counts;
}
