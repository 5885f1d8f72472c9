import { createParser } from "eventsource-parser";
import { readJson } from "../api/json";

/** `refused`: it does not come back. `ended`: the answer says that there is no session (any more). */
export type StreamState = "connecting" | "open" | "cut" | "refused" | "ended";

export interface StreamEvent {
  name: string;
  data: unknown;
}

export interface StreamOptions {
  url: URL;
  headers(): HeadersInit;
  onEvent(event: StreamEvent): void;
  /** `status`: of the answer that refuses it. */
  onState(state: StreamState, status?: number): void;
  /** The answer was 401. Fulfilled with whether this page's session goes on all the same. */
  onSessionEnded(): Promise<boolean>;
  fetch?: typeof fetch;
  /** Between 0 and 1, for pauses that differ from page to page. */
  random?: () => number;
}

/** Pauses between attempts to come back (milliseconds). */
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 15_000;
/** However long an answer asks to wait (milliseconds). */
const LONGEST_WAIT = 600_000;
/** Refusals that do not last: the request took too long, or too many came. */
const PASSING = [408, 429];
/** The gateway says something every 15 s; who hears nothing for so long is cut off (milliseconds). */
const SILENCE = 40_000;

/** How long the answer asks to wait (milliseconds). */
function askedWait(answer: Response): number {
  const text = answer.headers.get("Retry-After") ?? "";
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(wait) ? 0 : Math.min(LONGEST_WAIT, Math.max(0, wait));
}

/** Follows a stream of Server-Sent Events until it is closed, or refused for good.
 *
 * After a cut it comes back by itself, no sooner than the answer asks, and tells the gateway the last event that it has
 * seen; streams without ids of events begin with all that is so far. It never polls.
 */
export class LiveStream {
  private lastId: string | undefined;
  private failures = 0;
  private abort = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isClosed = false;

  constructor(private readonly options: StreamOptions) {
    this.connect();
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    this.abort.abort();
  }

  private connect(): void {
    this.options.onState("connecting");
    this.abort = new AbortController();
    void this.follow(this.abort);
  }

  private async follow(abort: AbortController): Promise<void> {
    const headers = new Headers(this.options.headers());
    headers.set("Accept", "text/event-stream");
    if (this.lastId !== undefined) headers.set("Last-Event-ID", this.lastId);
    let wait = 0;
    try {
      const answer = await (this.options.fetch ?? fetch)(this.options.url, {
        headers,
        signal: abort.signal,
        cache: "no-store",
        credentials: "same-origin",
      });
      if (answer.status === 401) {
        this.options.onState("ended");
        if (!(await this.options.onSessionEnded())) return;
      } else if (answer.status >= 400 && answer.status < 500 && !PASSING.includes(answer.status)) {
        this.options.onState("refused", answer.status);
        return;
      }
      if (answer.ok && answer.body !== null) await this.read(answer.body, abort);
      else wait = askedWait(answer);
    } catch {
      // Cut off: below.
    }
    if (!this.isClosed) this.comeBack(wait);
  }

  private async read(body: ReadableStream<Uint8Array>, abort: AbortController): Promise<void> {
    const parser = createParser({
      onEvent: (event) => {
        this.failures = 0;
        if (event.id !== undefined) this.lastId = event.id;
        this.options.onEvent({ name: event.event ?? "message", data: readJson(event.data) });
      },
    });
    this.options.onState("open");
    const reader = body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      this.timer = setTimeout(() => abort.abort(), SILENCE);
      const { done, value } = await reader.read();
      clearTimeout(this.timer);
      if (done) return;
      parser.feed(decoder.decode(value, { stream: true }));
    }
  }

  private comeBack(wait: number): void {
    this.options.onState("cut");
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.failures);
    this.failures += 1;
    this.timer = setTimeout(() => this.connect(), wait + pause * (0.5 + (this.options.random ?? Math.random)() / 2));
  }
}
