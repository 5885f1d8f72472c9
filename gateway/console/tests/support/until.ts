import { vi } from "vitest";

/** Waits until the check throws no more: for long, because other tests have the machine, too. */
export function until<T>(check: () => T): Promise<T> {
  return vi.waitFor(check, 20_000);
}
