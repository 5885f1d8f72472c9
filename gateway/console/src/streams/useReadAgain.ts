import { type QueryKey, useIsFetching, useQueryClient } from "@tanstack/react-query";
import { useEffect, useEffectEvent, useRef } from "react";

/** What a stream calls when it tells of a change: reads a query again.
 *
 * A reading that is under way is let finish, and the next one follows it: however fast changes come, answers do, too.
 */
export function useReadAgain(queryKey: QueryKey): () => void {
  const queries = useQueryClient();
  const filters = { queryKey, exact: true };
  const isWanted = useRef(false);
  const isFetching = useIsFetching(filters) > 0;
  const read = useEffectEvent(() => void queries.invalidateQueries(filters));
  useEffect(() => {
    if (isFetching || !isWanted.current) return;
    isWanted.current = false;
    read();
  }, [isFetching]);
  return () => {
    if (queries.isFetching(filters) > 0) isWanted.current = true;
    else void queries.invalidateQueries(filters);
  };
}
