import { useEffect, useRef } from "react";
import { api, dataOf } from "../../api/client";
import type { components } from "../../api/schema";
import { queryText } from "../../streams/queryText";
import { useAtMost } from "../../streams/useAtMost";
import { SOONEST } from "../../streams/useNews";
import { useStream } from "../../streams/useStream";
import { type RunState, stateOf } from "./run";
import { useRun } from "./useRun";

/** Each takes one of the six connections that a browser has. */
const LIVE = 2;
/** Tasks that one stream follows. */
const MOST = 20;

interface FollowInsideProps {
  ids: readonly string[];
  tell: (id: string, state: RunState) => void;
}

/** Follows runs that are opened in place: the first ones step by step; the others are read again when they have made a step. */
export function FollowInside({ ids, tell }: FollowInsideProps) {
  const others = ids.slice(LIVE);
  return (
    <>
      {ids.slice(0, LIVE).map((id) => (
        <Live key={id} id={id} tell={tell} />
      ))}
      {others.length > 0 && <Others ids={others} tell={tell} />}
    </>
  );
}

function Live({ id, tell }: { id: string; tell: FollowInsideProps["tell"] }) {
  const { state } = useRun(id);
  useEffect(() => {
    if (state !== null) tell(id, state);
  }, [id, state, tell]);
  return null;
}

function Others({ ids, tell }: FollowInsideProps) {
  const wanted = useRef(new Set<string>());
  const read = useAtMost(SOONEST, () => {
    for (const id of wanted.current) {
      dataOf(api.GET("/gateway/v1/dag-runs/{run_id}", { params: { path: { run_id: id } } })).then(
        (run) => tell(id, stateOf(run)),
        // It stays as it is, or closed.
        () => undefined,
      );
    }
    wanted.current.clear();
  });
  const want = (some: readonly string[]) => {
    if (some.length === 0) return;
    for (const id of some) wanted.current.add(id);
    read();
  };
  useStream(
    `gateway/v1/tasks/stream?${queryText({ id: ids.slice(0, MOST) })}`,
    ({ name, data }) => want(name === "tasks" ? (data as components["schemas"]["ChangedTasks"]).tasks.map((task) => task.task_id) : ids),
    () => want(ids),
  );
  return null;
}
