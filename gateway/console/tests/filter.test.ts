import { expect, test } from "vitest";
import { UnknownFilter, parseFilter } from "../src/pages/tasks/filter";

test("filters of several values are collected, the others are taken by their names in the API", () => {
  expect(parseFilter("state:running state:failed tenant:acme label:team:blue e-1")).toEqual({
    state: ["running", "failed"],
    tenant_id: "acme",
    label: ["team:blue"],
    entity_id: "e-1",
  });
});

test("a filter that is being typed asks for nothing yet", () => {
  expect(parseFilter(" state: ")).toEqual({});
});

test("a filter that there is none of is refused, not left out", () => {
  expect(() => parseFilter("colour:blue")).toThrow(UnknownFilter);
});
