import { setGatewayTime } from "../components/now";
import { createStore, useStore } from "../components/store";
import { api, dataOf } from "./client";
import { Problem } from "./problem";
import { queries } from "./queries";
import type { components } from "./schema";
import { token, whenSessionEnds } from "./token";

export type SessionView = components["schemas"]["SessionView"];
export type SessionState =
  | { is: "unknown" }
  | { is: "unreachable" }
  | { is: "signed out"; ended: boolean }
  | { is: "signed in"; session: SessionView };

export const sessionState = createStore<SessionState>({ is: "unknown" });

/** Whose page is open. It stays open while a session that has ended is renewed. */
let last: SessionView | null = null;

function enter(session: SessionView): void {
  if (last !== null && whoIs(last) !== whoIs(session)) {
    // What is open, read and written is for nobody else.
    location.reload();
    return;
  }
  const isRenewed = last !== null;
  last = session;
  token.set(session.csrf_token);
  setGatewayTime(session.now);
  sessionState.set({ is: "signed in", session });
  if (isRenewed) void queries.invalidateQueries();
}

function whoIs({ user_id, tenant_ids, only_project }: SessionView): string {
  return JSON.stringify([user_id, tenant_ids, only_project]);
}

function leave(ended: boolean): void {
  token.set(null);
  sessionState.set({ is: "signed out", ended });
  if (!ended) queries.clear();
}

/** Other pages of the browser share the cookie: one of them may have begun another session since. */
async function lookAgain(): Promise<void> {
  const found = await dataOf(api.GET("/gateway/v1/session")).catch((error: unknown) => {
    if (!(error instanceof Problem)) throw error;
    return error.status === 401 || isOver ? null : undefined;
  });
  if (found === undefined) return;
  if (found !== null) {
    if (found.csrf_token !== token.get()) enter(found);
  } else if (sessionState.get().is === "signed in") {
    // What is open stays: who signs in again as the same user finds drafts as they were.
    leave(true);
  }
}

let looking: Promise<void> | null = null;
/** Whether an answer has said so since the look began; otherwise it is over only if the look says it. */
let isOver = false;

/** After the look that is under way: that may have begun too early. */
function look(): void {
  const now = (looking ?? Promise.resolve()).then(lookAgain).finally(() => {
    if (looking === now) looking = null;
    isOver = false;
  });
  looking = now;
}

whenSessionEnds((isSure) => {
  const { is } = sessionState.get();
  if (is === "signed in") {
    isOver ||= isSure;
    if (looking === null) look();
  } else if (is !== "signed out") leave(false);
  return looking ?? Promise.resolve();
});

/** On it, pages of the browser tell each other that the cookie is another one. */
let pages: BroadcastChannel | null = null;

/** Hear of sessions that other pages of the browser begin and end, and tell them of this page's. Returns what ends that. */
export function followPages(): () => void {
  const channel = new BroadcastChannel("taskgate.session");
  channel.onmessage = look;
  pages = channel;
  return () => channel.close();
}

/** Find out whether there is a session. */
export async function resume(): Promise<void> {
  try {
    enter(await dataOf(api.GET("/gateway/v1/session")));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.status !== 401) sessionState.set({ is: "unreachable" });
  }
}

/** Exchange a key for a session. Throws a `Problem`. */
export async function signIn(key: string): Promise<void> {
  enter(await dataOf(api.POST("/gateway/v1/session", { headers: { Authorization: `Bearer ${key}` } })));
  pages?.postMessage(null);
}

export async function signOut(everywhere: boolean): Promise<void> {
  await api.DELETE("/gateway/v1/session", { params: { query: { everywhere } } });
  leave(false);
  pages?.postMessage(null);
}

export function useSessionState(): SessionState {
  return useStore(sessionState);
}

/** Who is signed in. For what is shown to nobody else. */
export function useSession(): SessionView {
  const now = useStore(sessionState);
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

/** What belongs to a tenant and perhaps to a project of it. */
export interface Belonging {
  tenant_id: string | null;
  project_id?: string | null;
}

/** Whether it may be done to something (`of`), or anywhere at all. */
export function may(session: SessionView, verb: Verb, of?: Belonging): boolean {
  const there = of && (session.permitted_by_project[of.project_id ?? ""] ?? session.permitted_by_tenant[of.tenant_id ?? ""]);
  return (there ?? session.permitted).includes(verb);
}
