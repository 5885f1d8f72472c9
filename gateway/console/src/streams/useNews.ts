import type { components } from "../api/schema";
import { queryText } from "./queryText";
import type { StreamState } from "./stream";
import { useAtMost } from "./useAtMost";
import { useStream } from "./useStream";

export type Topic = components["schemas"]["Topic"];
type ChangedThings = components["schemas"]["ChangedThings"];

/** However much changes, what is shown of it is read again no more often than that (milliseconds). */
export const SOONEST = 1000;

/** Call `then` when something of these topics may have changed, of this tenant if one is named; also after a cut. */
export function useNews(topics: readonly Topic[], then: () => void, tenantId?: string): StreamState {
  const told = useAtMost(SOONEST, then);
  return useStream(
    topics.length === 0 ? null : `gateway/v1/news/stream?${queryText({ topic: topics, tenant_id: tenantId })}`,
    (event) => {
      // The first event has nothing in it, and says that the stream is open.
      if (event.name !== "news" || (event.data as ChangedThings).changed.length > 0) told();
    },
    told,
  );
}
