import type { operations } from "../../api/schema";

export type TaskQuery = NonNullable<operations["list_tasks"]["parameters"]["query"]>;

const LISTS = { state: "state", backend: "backend", type: "type", stage: "stage", label: "label" } as const;
const SINGLES = {
  tenant: "tenant_id",
  project: "project_id",
  entity: "entity_id",
  worker: "worker_id",
  error: "error",
} as const;

/** A filter that there is none of. */
export class UnknownFilter extends Error {
  constructor(readonly filter: string) {
    super(filter);
  }
}

/** What `state:running tenant:acme word` asks for; a word alone is the id of an entity. Throws `UnknownFilter`. */
export function parseFilter(text: string): TaskQuery {
  const query: TaskQuery = {};
  const lists: Record<string, string[]> = {};
  for (const word of text.split(/\s+/).filter((one) => one !== "")) {
    const colon = word.indexOf(":");
    const name = colon < 0 ? "entity" : word.slice(0, colon);
    const value = colon < 0 ? word : word.slice(colon + 1);
    if (value === "") continue;
    if (name in LISTS) (lists[name] ??= []).push(value);
    else if (name in SINGLES) query[SINGLES[name as keyof typeof SINGLES]] = value;
    else throw new UnknownFilter(name);
  }
  // The gateway says which states and backends there are.
  return { ...query, ...lists };
}
