import { setGatewayTime } from "../components/now";
import { createStore, useStore } from "../components/store";
import { api, dataOf } from "./client";
import { Problem } from "./problem";
import type { components } from "./schema";
import { endings, setCsrfToken } from "./token";

export type SessionView = components["schemas"]["SessionView"];
export type SessionState =
  | { is: "unknown" }
  | { is: "unreachable" }
  | { is: "signed out"; ended: boolean }
  | { is: "signed in"; session: SessionView };

const state = createStore<SessionState>({ is: "unknown" });

/** Whose page is open. It stays open while a session that has ended is renewed. */
let last: SessionView | null = null;

function enter(session: SessionView): void {
  last = session;
  setCsrfToken(session.csrf_token);
  setGatewayTime(session.now);
  state.set({ is: "signed in", session });
}

function leave(ended: boolean): void {
  setCsrfToken(null);
  state.set({ is: "signed out", ended });
}

// What is open stays: who signs in again as the same user finds drafts as they were.
endings.subscribe(() => leave(state.get().is === "signed in"));

/** Find out whether there is a session. */
export async function resume(): Promise<void> {
  try {
    enter(await dataOf(api.GET("/gateway/v1/session")));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.status !== 401) state.set({ is: "unreachable" });
  }
}

/** Exchange a key for a session. Throws a `Problem`. */
export async function signIn(key: string): Promise<void> {
  enter(await dataOf(api.POST("/gateway/v1/session", { headers: { Authorization: `Bearer ${key}` } })));
}

export async function signOut(everywhere: boolean): Promise<void> {
  await api.DELETE("/gateway/v1/session", { params: { query: { everywhere } } });
  leave(false);
}

export function useSessionState(): SessionState {
  return useStore(state);
}

/** Who is signed in. For what is shown to nobody else. */
export function useSession(): SessionView {
  const now = useStore(state);
  if (now.is === "signed out" && now.ended && last !== null) return last;
  if (now.is !== "signed in") throw new Error("nobody is signed in");
  return now.session;
}

/** Verbs of docs/keys.md. What they do not permit is not offered. */
export type Verb =
  | "read"
  | "submit"
  | "steer"
  | "schedule"
  | "define"
  | "redrive"
  | "purge"
  | "keys"
  | "secrets"
  | "observe"
  | "operate";

export function may(session: SessionView, verb: Verb): boolean {
  return session.permitted.includes(verb);
}
