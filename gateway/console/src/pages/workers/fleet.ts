import type { components } from "../../api/schema";
import type { Tone } from "../../components/Status";

export type Member = components["schemas"]["Member"];
/** How a worker is, for the reader: one that drains is alive, too. */
export type Condition = Member["state"] | "draining";

export const TONES: Record<Condition, Tone> = { alive: "good", draining: "warn", silent: "bad", ended: "quiet", lost: "bad" };

export function conditionOf(member: Member): Condition {
  return member.state === "alive" && member.drain_at !== null ? "draining" : member.state;
}

/** Whether it is there to be used. */
export function isThere(member: Member): boolean {
  return member.state === "alive" || member.state === "silent";
}

/** The name of a host, without what tells its boots and containers apart. */
export function hostOf(member: Member): string {
  return member.host.split("/")[0] ?? member.host;
}

/** Workers of one pool on one host. */
export interface Line {
  key: string;
  pool: string | null;
  backend: string | null;
  host: string;
  members: readonly Member[];
}

/** Those that are there, by pool and host, in the order in which they come. */
export function linesOf(members: readonly Member[]): Line[] {
  const lines = new Map<string, Line & { members: Member[] }>();
  for (const member of members.filter(isThere)) {
    const key = [member.backend, member.pool, hostOf(member)].join(" ");
    const line = lines.get(key);
    if (line === undefined) lines.set(key, { key, pool: member.pool, backend: member.backend, host: hostOf(member), members: [member] });
    else line.members.push(member);
  }
  return [...lines.values()];
}

/** How full a worker is, in steps: 0 nothing, 4 all of its slots. */
export function fullness(member: Member): number {
  if (member.slots_used <= 0) return 0;
  return member.slots_used >= member.slots ? 4 : 1 + Math.min(2, Math.floor((3 * member.slots_used) / member.slots));
}
