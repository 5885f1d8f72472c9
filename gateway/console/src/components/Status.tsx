import type { ReactNode } from "react";
import "./Status.css";

export type Tone = "good" | "warn" | "bad" | "busy" | "quiet";

/** A word with a colour: the word alone says it as well. */
export function Status({ tone, children }: { tone: Tone; children: ReactNode }) {
  return <span className={`status status-${tone}`}>{children}</span>;
}
