import { createRoot } from "react-dom/client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

const NOW = Date.parse("2026-11-30T12:00:00Z");

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  // The console's clock begins with this one.
  vi.resetModules();
});
afterEach(() => void vi.useRealTimers());

/** A schedule whose next time is in so many seconds. */
const due = (seconds: number, paused = false) => ({ paused, next_at: new Date(NOW + seconds * 1000).toISOString() });

/** How often it is read within so many seconds. */
async function readings(seconds: number, ...schedules: { paused: boolean; next_at: string | null }[]): Promise<number> {
  const { useNextTime } = await import("../src/pages/schedules/useNextTime");
  const read = vi.fn();
  function Page() {
    useNextTime(schedules, read);
    return null;
  }
  const root = createRoot(document.createElement("div"));
  root.render(<Page />);
  await vi.advanceTimersByTimeAsync(seconds * 1000);
  root.unmount();
  return read.mock.calls.length;
}

test.each([
  [10, 0],
  [13, 1],
  [45, 3],
])("within %i s a time in 10 s is read %i times: it may fire later", async (seconds, times) => {
  expect(await readings(seconds, due(10), due(100), { paused: false, next_at: null })).toBe(times);
});

test("a paused schedule has no time, and hides no other", async () => {
  expect(await readings(13, due(-500, true), due(10))).toBe(1);
  expect(await readings(60, due(-500, true))).toBe(0);
});
