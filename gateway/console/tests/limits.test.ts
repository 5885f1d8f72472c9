import { describe, expect, it } from "vitest";
import { given } from "../src/components/textOf";
import { changesOf } from "../src/pages/audit/filter";
import { limitOf, weightOf } from "../src/pages/tenant/numbers";

describe("what is entered for a tenant", () => {
  it("is a whole number, or no limit", () => {
    expect(["", " ", "0", " 12 ", "9007199254740991"].map(limitOf)).toEqual([null, null, 0, 12, 9007199254740991]);
    expect(["-1", "1.5", "1e3", "x", "9007199254740993"].map(limitOf)).toEqual(Array(5).fill(undefined));
  });

  it("is a weight within its bounds", () => {
    expect(["0.001", "1", "1000"].map(weightOf)).toEqual([0.001, 1, 1000]);
    expect(["", "0", "1001", "x", "-1"].map(weightOf)).toEqual(Array(5).fill(undefined));
  });

  it("shows what changed alone", () => {
    expect(changesOf({ queued: 5, running: null, per: 1 }, { queued: 6, running: null, per: 1 })).toEqual([{ name: "queued", before: "5", after: "6" }]);
    expect(changesOf(null, { tier: "vip", why: null })).toEqual([{ name: "tier", before: null, after: "vip" }]);
    expect(changesOf({ stage: "off" }, null)).toEqual([{ name: "stage", before: "off", after: null }]);
  });

  it("leaves out what is empty", () => {
    expect(given({ tenant: " acme ", task: " " })).toEqual({ tenant: "acme" });
  });
});
