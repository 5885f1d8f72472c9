import { useEffect, useEffectEvent, useState } from "react";
import { API_ADDRESS } from "../api/address";
import { CSRF_HEADER } from "../api/client";
import { csrfToken, sessionEnded, token } from "../api/token";
import { useStore } from "../components/store";
import { noteStream } from "./connection";
import { LiveStream, type StreamEvent, type StreamState } from "./stream";

/** A page that nobody looks at gives its connection back after so long: browsers have six for all pages of a host. */
const HIDDEN_MILLISECONDS = 30_000;

/** Follow a stream of the gateway while the component is there, the page is seen, and there is a session.
 *
 * `path` is relative to the API's address (`gateway/v1/…`); null: none. `onOpen` is called before the first event of each
 * connection: what came before may have been missed, unless the stream begins with all that is so far. It is also called
 * when the stream is refused: who reads what it is about learns why.
 */
export function useStream(path: string | null, onEvent: (event: StreamEvent) => void, onOpen?: () => void): StreamState {
  const [state, setState] = useState<StreamState>("connecting");
  const [isSeen, setSeen] = useState(() => document.visibilityState === "visible");
  const session = useStore(token);
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
    look(); // it may have been seen since it was made
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, []);

  useEffect(() => {
    if (path === null || !isSeen || session === null) return;
    const name = {};
    let wasOpen = false;
    const stream = new LiveStream({
      url: new URL(path, API_ADDRESS),
      headers: () => ({ [CSRF_HEADER]: csrfToken() }),
      onEvent: (event) => handle(event),
      onState(next, status) {
        setState(next);
        if (next === "open") noteStream(name, "live");
        if (next === "cut") noteStream(name, "cut");
        // Of what is not there, or was asked for wrongly, the reading that follows says what is wrong; who may not follow
        // something may still read it.
        if (next === "refused" && (wasOpen || status === 403)) noteStream(name, "refused");
        wasOpen ||= next === "open";
        if (next === "open" || next === "refused") opened();
      },
      async onSessionEnded() {
        await sessionEnded();
        // With another session this stream is closed, and another one is begun.
        return token.get() === session;
      },
    });
    return () => {
      stream.close();
      noteStream(name, "live");
    };
  }, [path, isSeen, session]);

  return state;
}
