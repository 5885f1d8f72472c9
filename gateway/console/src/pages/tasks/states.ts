import type { Tone } from "../../components/Status";
import type { TaskFacts } from "./list";

/** The colour of each state of a task. */
export const TONES: Record<TaskFacts["state"], Tone> = {
  waiting: "quiet",
  starting: "busy",
  queued: "quiet",
  running: "busy",
  completed: "good",
  failed: "bad",
  stopped: "warn",
};
