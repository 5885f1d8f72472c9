import { useEffect, useEffectEvent, useState } from "react";
import { API_ADDRESS } from "../api/address";
import { CSRF_HEADER } from "../api/client";
import { csrfToken, sessionEnded } from "../api/token";
import { noteStream } from "./connection";
import { LiveStream, type StreamEvent, type StreamState } from "./stream";

/** A page that nobody looks at gives its connection back after so long: browsers have six for all pages of a host. */
const HIDDEN_MILLISECONDS = 30_000;

/** Follow a stream of the gateway while the component is there and the page is seen.
 *
 * `path` is relative to the API's address (`gateway/v1/…`); null: none. `onOpen` is called before the first event of each
 * connection: what came before may have been missed, unless the stream begins with all that is so far.
 */
export function useStream(path: string | null, onEvent: (event: StreamEvent) => void, onOpen?: () => void): StreamState {
  const [state, setState] = useState<StreamState>("connecting");
  const [isSeen, setSeen] = useState(() => document.visibilityState === "visible");
  const handle = useEffectEvent(onEvent);
  const opened = useEffectEvent(() => onOpen?.());

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = () => {
      clearTimeout(timer);
      if (document.visibilityState === "visible") setSeen(true);
      else timer = setTimeout(() => setSeen(false), HIDDEN_MILLISECONDS);
    };
    document.addEventListener("visibilitychange", look);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, []);

  useEffect(() => {
    if (path === null || !isSeen) return;
    const name = {};
    const stream = new LiveStream({
      url: new URL(path, API_ADDRESS),
      headers: () => ({ [CSRF_HEADER]: csrfToken() }),
      onEvent: (event) => handle(event),
      onState(next) {
        setState(next);
        if (next !== "connecting") noteStream(name, next === "cut");
        if (next === "open") opened();
      },
      onSessionEnded: sessionEnded,
    });
    return () => {
      stream.close();
      noteStream(name, false);
    };
  }, [path, isSeen]);

  return state;
}
