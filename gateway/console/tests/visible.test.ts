import { expect, test } from "vitest";
import { visible } from "../src/components/visible";

test("what hides or turns round a text is spelled out", () => {
  expect(visible("\u202egnp.exe")).toBe("\\u{202e}gnp.exe");
  expect(visible("a\u0000b\u200bc\r")).toBe("a\\u{0}b\\u{200b}c\\u{d}");
  expect(visible("one\u2028two\u2029")).toBe("one\\u{2028}two\\u{2029}");
  expect(visible("two\nlines\tZoë ☃ 任务")).toBe("two\nlines\tZoë ☃ 任务");
});
