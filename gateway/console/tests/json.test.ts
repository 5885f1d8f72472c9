import { expect, test } from "vitest";
import { jsonText, readJson } from "../src/api/json";

const TEXTS = ["9007199254740993", "-9007199254740993", "[9007199254740991,1e300,0.5,-0.25]", '{"id":12345678901234567890,"name":"9007199254740993"}'];

test.each(TEXTS)("%s keeps its digits", (text) => {
  expect(jsonText(readJson(text))).toBe(text.replace("1e300", "1e+300"));
});

test("only what a number cannot hold is something else", () => {
  expect(readJson("[9007199254740992,9007199254740991,9007199254740993.0,\"9007199254740993\"]")).toEqual([9007199254740992n, 9007199254740991, 9007199254740992, "9007199254740993"]);
});

test("an older browser refuses what it would change", () => {
  const { rawJSON } = JSON as { rawJSON?: unknown };
  try {
    Object.assign(JSON, { rawJSON: undefined });
    expect(() => jsonText({ id: 9007199254740993n })).toThrow("9007199254740993");
    expect(jsonText({ id: 9007199254740991 })).toBe('{"id":9007199254740991}');
  } finally {
    Object.assign(JSON, { rawJSON });
  }
});

test("lines are indented for people", () => {
  expect(jsonText({ id: 9007199254740993n }, 2)).toBe('{\n  "id": 9007199254740993\n}');
});
