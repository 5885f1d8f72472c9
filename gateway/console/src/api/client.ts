import createClient, { type Middleware } from "openapi-fetch";
import { API_ADDRESS } from "./address";
import { jsonText, readJson } from "./json";
import { type Problem, problemOf, unreachable } from "./problem";
import type { paths } from "./schema";
import { csrfToken, sessionEnded, token } from "./token";

export const CSRF_HEADER = "X-CSRF-Token";

/** What may have to be sent again: once it was sent, its body is gone. */
const copies = new WeakMap<Request, Request>();

async function problemIn(answer: Response): Promise<Problem> {
  return problemOf(answer.status, await answer.json().catch(() => null));
}

const asSession: Middleware = {
  onRequest({ request }) {
    request.headers.set(CSRF_HEADER, csrfToken());
    if (request.method !== "GET") copies.set(request, request.clone());
    return request;
  },
  async onResponse({ request, response, options }) {
    if (response.ok) return;
    const problem = await problemIn(response);
    if (problem.status === 401 && !request.headers.has("Authorization")) void sessionEnded();
    const copy = copies.get(request);
    // The cookie may be that of a session which another page of the browser has begun: it has another token. Legacy endpoints
    // give no code, so any 403 may be `csrf_token_missing`.
    if (problem.status !== 403 || copy === undefined) throw problem;
    await sessionEnded(false);
    if (token.get() === null || csrfToken() === request.headers.get(CSRF_HEADER)) throw problem;
    copy.headers.set(CSRF_HEADER, csrfToken());
    // Not a method of the options: browsers refuse that.
    const { fetch } = options;
    const again = await fetch(copy).catch(() => {
      throw unreachable();
    });
    if (!again.ok) throw await problemIn(again);
    return again;
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
