import type { components } from "../../api/schema";
import type { Tone } from "../../components/Status";

export type RunStatus = components["schemas"]["RunSummary"]["status"];

/** The colour of each status of a run, and of a node. */
export const TONES: Record<RunStatus, Tone> = {
  pending: "quiet",
  waiting: "warn",
  queued: "quiet",
  running: "busy",
  completed: "good",
  failed: "bad",
  cancelled: "warn",
  skipped: "quiet",
};
