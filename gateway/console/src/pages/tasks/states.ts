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

/** The name of a state in the reader's language; of one that is not known here, its own. */
export function nameOfState(names: Record<TaskFacts["state"], string>, state: string): string {
  return state in TONES ? names[state as TaskFacts["state"]] : state;
}
