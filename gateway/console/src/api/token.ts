import { createStore } from "../components/store";

/** A page of another origin cannot set the header at all, so that anything in it tells where a request comes from. */
const NONE = "none";

let token: string | null = null;

export function setCsrfToken(value: string | null): void {
  token = value;
}

/** What goes into the header of every request. */
export function csrfToken(): string {
  return token ?? NONE;
}

/** Counts the answers that said that there is no session (any more). */
export const endings = createStore(0);

export function sessionEnded(): void {
  endings.set(endings.get() + 1);
}
