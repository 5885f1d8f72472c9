import { useState } from "react";
import { api, dataOf } from "../../api/client";
import { isNews } from "../../streams/isNews";
import { queryText } from "../../streams/queryText";
import type { StreamState } from "../../streams/stream";
import { useStream } from "../../streams/useStream";
import { type NodeState, type RunDocument, type RunState, type RunSummary, isOver, stateOf, withNodes, withRun } from "./run";

/** A run, live. Its own stream ends with it; after that the task that it is tells when somebody has it go on. */
export function useRun(runId: string): { state: RunState | null; stream: StreamState } {
  const [state, setState] = useState<RunState | null>(null);
  const [hasEnded, setEnded] = useState(false);
  const stream = useStream(hasEnded ? null : `gateway/v1/dag-runs/${encodeURIComponent(runId)}/stream`, (event) => {
    switch (event.name) {
      case "state":
        setState(stateOf(event.data as RunDocument));
        break;
      case "nodes":
        setState((known) => known && withNodes(known, (event.data as { nodes: NodeState[] }).nodes));
        break;
      case "run":
        setState((known) => known && withRun(known, event.data as RunSummary));
        break;
      case "end":
        setState((known) => known && withRun(known, event.data as RunSummary));
        setEnded(true);
    }
  });
  useStream(
    hasEnded ? `gateway/v1/tasks/stream?${queryText({ id: runId })}` : null,
    (event) => {
      if (isNews(event)) setEnded(false);
    },
    // It may have gone on before this was open.
    () => {
      dataOf(api.GET("/gateway/v1/dag-runs/{run_id}", { params: { path: { run_id: runId }, query: { items: false } } })).then(
        (run) => setEnded(isOver(run)),
        // The stream is cut as well, and opens again.
        () => undefined,
      );
    },
  );
  return { state, stream: state !== null && isOver(state.run) ? "open" : stream };
}
