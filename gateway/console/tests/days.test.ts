import { describe, expect, it } from "vitest";
import { daysOf, instantOf } from "../src/pages/schedule/days";

function time(local: string) {
  return { nominal_at: new Date(local).toISOString(), fire_at: new Date(local).toISOString(), local };
}

describe("a calendar of coming times", () => {
  it("has the days of the schedule's zone, not of the reader's", () => {
    const days = daysOf([time("2026-11-29T00:30:00+13:00"), time("2026-11-29T23:30:00+13:00"), time("2026-11-30T00:30:00+13:00")]);
    expect(days.map(({ date, times }) => [date, times.length])).toEqual([
      ["2026-11-29", 2],
      ["2026-11-30", 1],
    ]);
  });
});

describe("a day and a time of a zone as an instant", () => {
  it.each([
    ["2026-11-29T03:00", "Europe/Oslo", "2026-11-29T02:00:00.000Z"],
    ["2026-07-01T03:00", "Europe/Oslo", "2026-07-01T01:00:00.000Z"],
    ["2026-07-01T03:00:30", "Asia/Kathmandu", "2026-06-30T21:15:30.000Z"],
    ["2026-07-01T03:00", "UTC", "2026-07-01T03:00:00.000Z"],
    // Shown twice: the first. Left out: an hour later by the clock.
    ["2026-10-25T02:30", "Europe/Oslo", "2026-10-25T00:30:00.000Z"],
    ["2026-03-29T02:30", "Europe/Oslo", "2026-03-29T01:30:00.000Z"],
    ["2026-11-01T01:30", "America/New_York", "2026-11-01T05:30:00.000Z"],
  ])("%s in %s is %s", (local, zone, instant) => {
    expect(instantOf(local, zone)?.toISOString()).toBe(instant);
  });

  it.each(["", "2026-13-01T00:00", "tomorrow"])("%s says nothing", (local) => {
    expect(instantOf(local, "UTC")).toBeNull();
  });
});
