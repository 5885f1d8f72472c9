import { expect, test } from "vitest";
import { inline, parse, written } from "../src/pages/editor/model/yaml";
import { numberOf, shownNumber } from "../src/pages/editor/panel/values";
import readings from "./readings.json";

// The gateway's own reader has the same table (tests/unit/dags/test_readings.py).
test.each(readings.means as [string, unknown][])("%j means what the gateway reads", (text, value) => {
  const parsed = parse(text);
  expect(parsed.faults).toEqual([]);
  expect(parsed.value).toEqual(value);
});

test.each(readings.refused)("%j is refused, as by the gateway", (text) => {
  expect(parse(text).faults).not.toEqual([]);
});

const TEXTS = ["y", "n", "yes", "No", "on", "OFF", "true", "null", "~", "", "=", "<<", "0x10", "010", "08", "1_000", "1e3", "1.5e+3", ".5", ".inf", "1:30", "2020-01-01", "- a", "a: b", "#", "two\nlines\n", " x", "é"];

test.each(TEXTS)("the text %j stays one when it is written", (text) => {
  // As the definition of a DAG that was given as JSON, and as an edit writes it.
  for (const value of [{ [text]: text }, { a: [text, { b: text }] }]) {
    for (const source of [written(value), inline(value), inline(text) + "\n"]) {
      expect(parse(source).faults).toEqual([]);
    }
    expect(parse(written(value)).value).toEqual(value);
    expect(parse(inline(value)).value).toEqual(value);
    expect(parse(inline(text)).value).toEqual(text);
  }
});

test.each(["9007199254740993", "-9007199254740993", "18446744073709551615", "0x7fffffffffffffff"])("the whole number %s keeps its digits", (text) => {
  const { value, faults } = parse(`a: ${text}\n`);
  expect(faults).toEqual([]);
  expect(value).toEqual({ a: text.startsWith("-") ? -BigInt(text.slice(1)) : BigInt(text) });
  expect(parse(written(value)).value).toEqual(value);
  expect(parse(inline(value)).value).toEqual(value);
});

test("a number that holds it is one", () => {
  expect(parse("[9007199254740991, 0x10, 010, 1:30, 1_000]").value).toEqual([9007199254740991, 16, 8, 90, 1000]);
});

test("a number that is typed into a field of the panel is taken as it is, or not at all", () => {
  expect(["30", "0.5", "1e3", "-1", "9007199254740991"].map(numberOf)).toEqual([30, 0.5, 1000, -1, 9007199254740991]);
  expect(["", "x", "Infinity", "9007199254740993", "-9007199254740993"].map(numberOf)).toEqual(Array(5).fill(null));
  expect(shownNumber(9007199254740993n)).toBe("9007199254740993");
  expect(shownNumber("30")).toBe("");
});
