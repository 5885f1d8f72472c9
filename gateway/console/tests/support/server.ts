import { type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, vi } from "vitest";

export interface Asked {
  method: string;
  /** With its query. */
  path: string;
  body: string;
  /** Open until the answer ends, or whoever asked goes away. */
  isOpen: boolean;
}

/** What a session may do in these tests. */
const SESSION = { user_id: "u", csrf_token: "t", now: new Date().toISOString(), tenant_ids: ["acme"], only_project: null, permitted: ["read", "submit", "steer", "schedule", "define", "observe"] };

export interface Gateway {
  asked: Asked[];
  /** As soon as nobody asks for anything any more. */
  close: () => Promise<void>;
}

/** The console is at its address: call it once in a file, before anything of the console is imported.
 *
 * `answer` gives JSON; null: there is no such thing; undefined: it answers by itself, or not yet.
 */
export async function serve(answer: (asked: Asked, response: ServerResponse) => string | null | undefined): Promise<Gateway> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    const one: Asked = { method: request.method ?? "", path: request.url ?? "", body: "", isOpen: true };
    request.on("data", (part: Buffer) => (one.body += part.toString()));
    response.on("close", () => (one.isOpen = false));
    request.on("end", () => {
      asked.push(one);
      const text = one.path === "/gateway/v1/session" ? JSON.stringify(SESSION) : answer(one, response);
      if (text === undefined) return;
      response.writeHead(text === null ? 404 : 200, { "Content-Type": "application/json" }).end(text ?? '{"detail":"There is no such thing."}');
    });
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const { port } = server.address() as AddressInfo;
  (window as unknown as { happyDOM: { setURL: (url: string) => void } }).happyDOM.setURL(`http://127.0.0.1:${port}/console/`);
  return {
    asked,
    close: async () => {
      await vi.waitFor(() => expect(asked.filter((one) => one.isOpen)).toEqual([]), 5000);
      server.closeAllConnections();
      server.close();
    },
  };
}

/** Begins a stream of events. */
export function stream(response: ServerResponse): (name: string, data: unknown) => void {
  response.writeHead(200, { "Content-Type": "text/event-stream" }).flushHeaders();
  return (name, data) => response.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
}
