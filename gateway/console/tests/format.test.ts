import { expect, test } from "vitest";
import { counted } from "../src/i18n/catalogue";
import { formatOf } from "../src/i18n/format";
import { auditTexts } from "../src/pages/audit/texts";
import { deadLettersTexts } from "../src/pages/deadLetters/texts";
import { editorTexts } from "../src/pages/editor/texts";
import { scheduleTexts } from "../src/pages/schedule/texts";
import { schedulesTexts } from "../src/pages/schedules/texts";
import { bulkTexts } from "../src/pages/tasks/bulkTexts";
import { tasksTexts } from "../src/pages/tasks/texts";
import { tenantTexts } from "../src/pages/tenant/texts";
import { tenantMigrationTexts } from "../src/pages/tenantMigration/texts";

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

test("what rounds up to the next unit is said in that one", () => {
  const format = formatOf("en");
  expect([0.9996, 9.97, 59.6, 59.4, 3599.6].map((seconds) => format.duration(seconds))).toEqual(["1s", "10s", "1m", "59s", "1h"]);
  const now = new Date("2026-11-30T12:00:00Z");
  const ago = (seconds: number) => format.relative(new Date(now.getTime() - seconds * 1000), now);
  expect([59.4, 59.6, 3569, 3571, 84_500, 84_700, -59.6].map(ago)).toEqual(["59 sec ago", "1 min ago", "59 min ago", "1 hr ago", "23 hr ago", "yesterday", "in 1 min"]);
});

test("a moment names its zone", () => {
  expect(formatOf("en").moment(new Date("2026-11-30T12:00:00Z"))).toMatch(/^30 Nov 2026, \d\d:00:00 \S+$/);
  expect(formatOf("zh").moment(new Date("2026-11-30T12:00:00Z"))).toMatch(/[A-Z]{3}/);
});

test("one is one", () => {
  expect(["0", "1", "2", "1,000"].map((count) => counted(count, "task"))).toEqual(["0 tasks", "1 task", "2 tasks", "1,000 tasks"]);
  const one = [
    auditTexts.en.sound("1"),
    auditTexts.en.broken("1"),
    auditTexts.en.months("1"),
    auditTexts.en.exporting("1"),
    auditTexts.en.exported("1"),
    bulkTexts.en.preview("1"),
    deadLettersTexts.en.purgeHelp("1"),
    editorTexts.en.faults("1"),
    editorTexts.en.previewed("1"),
    scheduleTexts.en.filled("1", "1"),
    schedulesTexts.en.moments("1"),
    tasksTexts.en.loaded("1"),
    tenantMigrationTexts.en.left("1"),
    tenantTexts.en.pastGateway("1"),
  ];
  expect(one.filter((text) => /1 (entries|months|events|tasks|faults|nodes|letters|times|moments|more tasks|of them are)/.test(text))).toEqual([]);
});
