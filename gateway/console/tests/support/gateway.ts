/** Stands in for the gateway: imported before anything of `src`, which takes `fetch` when it is loaded. */

type Answer = (request: Request) => Response | Promise<Response>;

/** What it answers, by method and path. What is not here is 404. */
export const answers = new Map<string, Answer>();
interface Asked {
  /** Its method and path. */
  what: string;
  query: URLSearchParams;
  headers: Headers;
  /** As it was sent. */
  text: string;
  /** What JSON it was. */
  body: unknown;
  isGivenUp: () => boolean;
}

/** Every request that came. */
export const asked: Asked[] = [];

export function json(body: unknown, status = 200): Response {
  return new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json" } });
}

export function problem(status: number, code: string, detail = code): Response {
  return json({ type: `urn:taskgate:error:${code}`, detail }, status);
}

/** A stream of events that is open until the request is given up. */
export function stream(): { response: Response; tell: (name: string, data: unknown) => void } {
  const pipe = new TransformStream<Uint8Array, Uint8Array>();
  const writer = pipe.writable.getWriter();
  return {
    response: new Response(pipe.readable, { headers: { "Content-Type": "text/event-stream" } }),
    tell: (name, data) => void writer.write(new TextEncoder().encode(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`)).catch(() => undefined),
  };
}

/** A stream without events. */
export function silence(): Response {
  return stream().response;
}

/** The requests of this method and path, so far. */
export function askedFor(what: string) {
  return asked.filter((one) => one.what === what);
}

globalThis.fetch = async function (this: unknown, input, init) {
  // As browsers have it.
  if (this !== undefined && this !== globalThis) throw new TypeError("Illegal invocation");
  const request = input instanceof Request ? input : new Request(input, init);
  const url = new URL(request.url);
  const what = `${request.method} ${url.pathname}`;
  const isJson = request.headers.get("Content-Type") === "application/json";
  const text = request.method === "GET" ? "" : await request.text();
  asked.push({
    what,
    query: url.searchParams,
    headers: new Headers(request.headers),
    text,
    body: text !== "" && isJson ? JSON.parse(text) : text,
    isGivenUp: () => request.signal.aborted,
  });
  return (await answers.get(what)?.(request)) ?? problem(404, "not_found");
};

/** A session, as the gateway describes it. */
export function session(token: string, more: object = {}) {
  return {
    user_id: "ann",
    is_admin: false,
    tenant_ids: ["acme"],
    only_project: null,
    permitted: ["read", "submit", "steer", "redrive", "purge", "operate"],
    permitted_by_tenant: {},
    permitted_by_project: {},
    expires_at: null,
    csrf_token: token,
    now: new Date().toISOString(),
    ...more,
  };
}
