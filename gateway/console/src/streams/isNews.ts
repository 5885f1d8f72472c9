import type { components } from "../api/schema";
import type { StreamEvent } from "./stream";

type ChangedTasks = components["schemas"]["ChangedTasks"];

/** Whether an event of a stream of tasks tells of a change: the first one has none, and says that the stream is open. */
export function isNews(event: StreamEvent): boolean {
  if (event.name !== "tasks") return event.name === "missed";
  const { tasks, others } = event.data as ChangedTasks;
  return tasks.length > 0 || others.length > 0;
}
