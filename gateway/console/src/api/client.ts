import createClient, { type Middleware } from "openapi-fetch";
import { API_ADDRESS } from "./address";
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

/** The gateway's API, with the types of its OpenAPI document. Whatever is no success is thrown as a `Problem`. */
export const api = createClient<paths>({
  baseUrl: API_ADDRESS.href.replace(/\/$/, ""),
  credentials: "same-origin",
  cache: "no-store",
});
api.use(asSession);

/** The body of an answer. */
export async function dataOf<T>(answer: Promise<{ data?: T }>): Promise<T> {
  const { data } = await answer;
  return data as T;
}
