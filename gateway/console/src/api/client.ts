import createClient, { type Middleware } from "openapi-fetch";
import { API_ADDRESS } from "./address";
import { jsonText, readJson } from "./json";
import { problemOf, unreachable } from "./problem";
import type { paths } from "./schema";
import { csrfToken, sessionEnded } from "./token";

export const CSRF_HEADER = "X-CSRF-Token";

const asSession: Middleware = {
  onRequest({ request }) {
    request.headers.set(CSRF_HEADER, csrfToken());
    return request;
  },
  async onResponse({ request, response }) {
    if (response.ok) return;
    if (response.status === 401 && !request.headers.has("Authorization")) sessionEnded();
    throw problemOf(response.status, await response.json().catch(() => null));
  },
  onError({ error }) {
    return error instanceof DOMException && error.name === "AbortError" ? error : unreachable();
  },
};

const client = createClient<paths>({
  baseUrl: API_ADDRESS.href.replace(/\/$/, ""),
  credentials: "same-origin",
  cache: "no-store",
  bodySerializer: (body) => jsonText(body),
});
client.use(asSession);

/** The client itself would change the digits of large numbers. */
function exact<F>(ask: F): F {
  const send = ask as (path: string, options?: object) => Promise<{ data?: string }>;
  return (async (path: string, options?: object) => {
    const answer = await send(path, { ...options, parseAs: "text" });
    return { ...answer, data: answer.data ? readJson(answer.data) : undefined };
  }) as F;
}

/** The gateway's API, with the types of its OpenAPI document. Whatever is no success is thrown as a `Problem`. */
export const api = { GET: exact(client.GET), POST: exact(client.POST), PUT: exact(client.PUT), DELETE: exact(client.DELETE) };

/** The body of an answer. */
export async function dataOf<T>(answer: Promise<{ data?: T }>): Promise<T> {
  const { data } = await answer;
  return data as T;
}
