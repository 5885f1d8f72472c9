import type { QueryKey } from "@tanstack/react-query";
import { useState } from "react";
import { type Topic, useNews } from "../streams/useNews";
import { useReadAgain } from "../streams/useReadAgain";

interface Pages {
  data: { pages: readonly unknown[] } | undefined;
  isFetchingNextPage: boolean;
  refetch: () => unknown;
}

export interface LivePages {
  /** Something has changed that is not shown: of many pages each would be read again. */
  isBehind: boolean;
  /** Read all that is shown again. */
  readAgain: () => void;
}

/** For a query that is read page by page: when something has changed (`told`), it is read again while its first page is all
 * that is shown; else the reader is told, and asks for it.
 */
export function useToldPages(found: Pages, queryKey: QueryKey): LivePages & { told: () => void } {
  const [behind, setBehind] = useState<string | null>(null);
  const again = useReadAgain(queryKey);
  const shown = JSON.stringify(queryKey);
  const readAgain = () => {
    setBehind(null);
    again();
  };
  const told = () => {
    // To read again would cancel the reading of the next page.
    if (found.isFetchingNextPage || (found.data?.pages.length ?? 0) > 1) setBehind(shown);
    else readAgain();
  };
  return { isBehind: behind === shown, readAgain, told };
}

/** The same, where something of these topics may change. */
export function useLivePages(found: Pages, queryKey: QueryKey, topics: readonly Topic[], tenantId?: string): LivePages {
  const { told, ...live } = useToldPages(found, queryKey);
  useNews(topics, told, tenantId);
  return live;
}
