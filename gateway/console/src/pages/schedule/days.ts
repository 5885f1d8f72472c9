import type { components } from "../../api/schema";

type FireTime = components["schemas"]["FireTime"];

/** Times of one day of the schedule's zone. */
export interface Day {
  /** `2026-11-29`. */
  date: string;
  times: readonly FireTime[];
}

/** The times day by day, in the zone in which the gateway has said them. */
export function daysOf(times: readonly FireTime[]): Day[] {
  const days = new Map<string, FireTime[]>();
  for (const time of times) {
    const date = time.local.slice(0, 10);
    const known = days.get(date);
    if (known === undefined) days.set(date, [time]);
    else known.push(time);
  }
  return [...days].map(([date, found]) => ({ date, times: found }));
}

/** What a field for a day and a time says (`2026-11-29T03:00`) as an instant of a zone; null: it says nothing.
 *
 * Of an hour that a clock shows twice it is the first; one that is left out is what the clock shows after it.
 */
export function instantOf(local: string, zone: string): Date | null {
  const asUtc = Date.parse(`${local}Z`);
  if (local === "" || Number.isNaN(asUtc)) return null;
  const before = asUtc - offsetAt(asUtc - DAY, zone);
  const after = asUtc - offsetAt(asUtc + DAY, zone);
  const fitting = [before, after].filter((instant) => instant + offsetAt(instant, zone) === asUtc);
  return new Date(fitting.length === 0 ? before : Math.min(...fitting));
}

const DAY = 86_400_000;

/** How far the clocks of a zone are ahead of UTC (milliseconds). */
function offsetAt(instant: number, zone: string): number {
  const format = new Intl.DateTimeFormat("en-CA", {
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  });
  const part = Object.fromEntries(format.formatToParts(instant).map(({ type, value }) => [type, value]));
  const shown = Date.parse(`${part.year ?? ""}-${part.month ?? ""}-${part.day ?? ""}T${part.hour ?? ""}:${part.minute ?? ""}:${part.second ?? ""}Z`);
  return shown - Math.floor(instant / 1000) * 1000;
}
