import { expect, test } from "vitest";
import { parse } from "../src/pages/editor/model/yaml";
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
