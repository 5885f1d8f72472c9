import { useEffect, useMemo, useState } from "react";
import { api, dataOf } from "../../api/client";
import type { components } from "../../api/schema";
import { useStore } from "../../components/store";
import { queryText } from "../../streams/queryText";
import { useAtMost } from "../../streams/useAtMost";
import { useStream } from "../../streams/useStream";
import type { TaskQuery } from "./filter";
import { TaskList } from "./list";

type ChangedTasks = components["schemas"]["ChangedTasks"];

/** What follows the changes of the list is told no more often than that (milliseconds). */
const SOONEST = 1000;

/** The tasks that a query asks for, live; null: no query. `changes`: another number when some have changed. */
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
  const [changes, setChanges] = useState(0);
  const told = useAtMost(SOONEST, () => setChanges((count) => count + 1));
  useStream(
    text === null ? null : `gateway/v1/tasks/stream?${text}`,
    (event) => {
      if (event.name === "missed") void list.reload();
      if (event.name !== "tasks") return;
      const { tasks, others } = event.data as ChangedTasks;
      list.tell(tasks, others);
      if (tasks.length > 0 || others.length > 0) told();
    },
    () => void list.reload(),
  );
  return { ...useStore(list.state), list, changes };
}
