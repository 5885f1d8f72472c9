import { createStore } from "../components/store";

/** A page of another origin cannot set the header at all, so that anything in it tells where a request comes from. */
const NONE = "none";

/** Of the session that this page has; null: it has none. Another one is another session. */
export const token = createStore<string | null>(null);

/** What goes into the header of every request. */
export function csrfToken(): string {
  return token.get() ?? NONE;
}

let ended: (isSure: boolean) => Promise<void> = () => Promise.resolve();

/** What finds out which session there is, when an answer says that this page's is over. */
export function whenSessionEnds(then: (isSure: boolean) => Promise<void>): void {
  ended = then;
}

/** An answer says that this page's session is over, or (`isSure` false) may mean that. Fulfilled when it is known whether
 * there is another one. */
export function sessionEnded(isSure = true): Promise<void> {
  return ended(isSure);
}
