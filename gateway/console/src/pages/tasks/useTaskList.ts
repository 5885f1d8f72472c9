import { useEffect, useMemo } from "react";
import { api, dataOf } from "../../api/client";
import type { components } from "../../api/schema";
import { useStore } from "../../components/store";
import { queryText } from "../../streams/queryText";
import { useStream } from "../../streams/useStream";
import type { TaskQuery } from "./filter";
import { TaskList } from "./list";

type ChangedTasks = components["schemas"]["ChangedTasks"];

/** The tasks that a query asks for, live; null: no query. */
export function useTaskList(query: TaskQuery | null) {
  const text = query === null ? null : queryText(query);
  const list = useMemo(
    () =>
      new TaskList((limit, cursor, signal) =>
        dataOf(api.GET("/gateway/v1/tasks", { params: { query: { ...query, limit, cursor } }, signal })),
      ),
    // The text says all that the query does.
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [text],
  );
  useEffect(() => () => list.close(), [list]);
  useStream(
    text === null ? null : `gateway/v1/tasks/stream?${text}`,
    (event) => {
      if (event.name === "missed") void list.reload();
      if (event.name !== "tasks") return;
      const { tasks, others } = event.data as ChangedTasks;
      list.tell(tasks, others);
    },
    () => void list.reload(),
  );
  return { ...useStore(list.state), list };
}
