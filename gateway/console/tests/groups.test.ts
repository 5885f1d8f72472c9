import { expect, test } from "vitest";
import { shortId } from "../src/components/shortId";
import { filterOf, keyOf, textOf, until } from "../src/pages/deadLetters/groups";

test("a group stands in the address as it is", () => {
  for (const error_type of [null, "TimeoutError", "urllib3.exceptions:Odd", ""]) {
    const group = { kind: "task" as const, reason: "refused" as const, error_type };
    expect(keyOf(textOf(group))).toEqual(group);
  }
  expect(keyOf("task")).toBeNull();
  expect(keyOf(undefined)).toBeNull();
});

test("an error without a type is not one whose type is not asked for", () => {
  expect(filterOf({ kind: "task", reason: "refused", error_type: null }, "")).toEqual({ kind: "task", reason: "refused", untyped: true, state: "open" });
  expect(filterOf({ kind: "task", reason: "refused", error_type: "E" }, "disk")).toEqual({
    kind: "task",
    reason: "refused",
    untyped: false,
    error_type: "E",
    error: "disk",
    state: "open",
  });
});

test("what was seen is within the bound, microseconds or not", () => {
  expect(until("2026-11-28T09:31:00.123456+00:00") > "2026-11-28T09:31:00.123456").toBe(true);
  expect(until("2026-11-28T09:31:00+00:00")).toBe("2026-11-28T09:31:00.001Z");
});

test("a short id tells one letter from another", () => {
  expect(shortId("payload:1d93f3a2c923dd87")).toBe("payload:…c923dd87");
  expect(shortId("01a228f0-8db8-76e1-87b8-7421f32a0447")).toBe("…f32a0447");
});
