import { expect, test } from "vitest";
import { formatOf } from "../src/i18n/format";

test("a duration has two units at most, and none of which there is nothing", () => {
  const format = formatOf("en");
  expect([0.0571, 9.96, 42, 60, 61, 600, 3599, 3600, 5400, 86_400, 90_000].map((seconds) => format.duration(seconds))).toEqual([
    "57ms",
    "10s",
    "42s",
    "1m",
    "1m 1s",
    "10m",
    "59m 59s",
    "1h",
    "1h 30m",
    "1d",
    "1d 1h",
  ]);
});
