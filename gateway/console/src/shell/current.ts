import type { Page } from "../pages/page";

declare module "@tanstack/react-router" {
  interface StaticDataRouteOption {
    page?: Page;
  }
}

/** The page that is shown, by the routes that match the address. */
export function pageOf(matches: readonly { staticData: { page?: Page } }[]): Page | undefined {
  return matches.at(-1)?.staticData.page;
}
