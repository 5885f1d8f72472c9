import type { Page } from "./page";
import { GROUPS, type Group } from "./page";

const found = import.meta.glob<Page>("./*/page.ts", { eager: true, import: "page" });

/** Every page there is. */
export const PAGES: readonly Page[] = Object.values(found);

/** Those of a group that the navigation shows, in their order. */
export function pagesOf(group: Group): Page[] {
  return PAGES.filter((page) => page.navigation?.group === group).sort(
    (one, other) => (one.navigation?.order ?? 0) - (other.navigation?.order ?? 0),
  );
}

/** As the navigation shows them. */
export function navigated(): Page[] {
  return GROUPS.flatMap(pagesOf);
}
