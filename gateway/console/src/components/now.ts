import { createStore, useStore } from "./store";

const now = createStore(new Date());
/** By how much the gateway's clock is ahead of the reader's (milliseconds). */
let ahead = 0;

/** The gateway's time, when an answer says so: a reader's clock that is wrong makes no age wrong. */
export function setGatewayTime(at: string): void {
  ahead = new Date(at).getTime() - Date.now();
  now.set(new Date(Date.now() + ahead));
}

setInterval(() => {
  if (document.visibilityState === "visible") now.set(new Date(Date.now() + ahead));
}, 1000);

/** The gateway's time, to the second. */
export function useNow(): Date {
  return useStore(now);
}
