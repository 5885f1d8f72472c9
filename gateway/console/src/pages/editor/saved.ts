import { api, dataOf } from "../../api/client";
import type { components } from "../../api/schema";
import { written } from "./model/yaml";

/** Which DAG it is. */
export interface Place {
  name: string;
  tenant: string | null;
  query: { tenant_id?: string };
}

export function placeOf(name: string, tenant: string | null): Place {
  return { name, tenant, query: tenant === null ? {} : { tenant_id: tenant } };
}

/** A version as the gateway has it. */
export interface Saved {
  version: number;
  text: string;
  isBuiltIn: boolean;
}

/** What was given as JSON has no text of its own. */
function savedOf(document: components["schemas"]["DagDocument"]): Saved {
  return { version: document.version, text: document.source ?? written(document.definition), isBuiltIn: document.built_in };
}

export async function readVersion(place: Place, version: number | null): Promise<Saved> {
  const query = { ...place.query, ...(version === null ? {} : { version: String(version) }) };
  return savedOf(await dataOf(api.GET("/gateway/v1/dags/{name}", { params: { path: { name: place.name }, query } })));
}

export interface Surroundings {
  types: readonly string[];
  dags: readonly string[];
  /** The version in use; null: there is none. */
  current: Saved | null;
}

export async function readSurroundings(place: Place): Promise<Surroundings> {
  const { dags, task_types } = await dataOf(api.GET("/gateway/v1/dags", { params: { query: place.query } }));
  const isThere = dags.some((dag) => dag.name === place.name);
  return {
    types: task_types,
    dags: dags.map((dag) => dag.name).filter((name) => name !== place.name),
    current: isThere ? await readVersion(place, null) : null,
  };
}

/** Throws a `Problem`, `dag_changed` when another version than `base` is in use. */
export async function save(place: Place, text: string, base: number, label: string, anyTypes: boolean): Promise<{ version: number; isNew: boolean }> {
  const document = await dataOf(
    api.PUT("/gateway/v1/dags/{name}", {
      params: { path: { name: place.name }, query: { ...place.query, base, any_types: anyTypes, ...(label === "" ? {} : { label }) } },
      body: text as never,
      bodySerializer: (body) => body as unknown as string,
      headers: { "Content-Type": "application/yaml" },
    }),
  );
  return { version: document.version, isNew: document.is_new === true };
}
