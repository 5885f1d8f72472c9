import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef } from "react";
import type { components } from "../../api/schema";
import { Moment } from "../../components/Moment";
import { Status, type Tone } from "../../components/Status";
import { useTexts } from "../../i18n/catalogue";
import { tasksTexts } from "./texts";

type TaskFacts = components["schemas"]["TaskFacts"];

const ROW = 32;
const TONES: Record<TaskFacts["state"], Tone> = {
  waiting: "quiet",
  starting: "busy",
  queued: "quiet",
  running: "busy",
  completed: "good",
  failed: "bad",
  stopped: "warn",
};

/** Tasks as a table of which only what is seen is in the document. `onEnd`: the last rows are near. */
export function TaskRows({ rows, onEnd }: { rows: readonly TaskFacts[]; onEnd: () => void }) {
  const t = useTexts(tasksTexts);
  const place = useRef<HTMLDivElement>(null);
  // eslint-disable-next-line react-hooks/incompatible-library -- what it returns is used here alone
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => place.current,
    estimateSize: () => ROW,
    overscan: 12,
  });
  const seen = virtual.getVirtualItems();
  const last = seen.at(-1)?.index ?? 0;
  useEffect(() => {
    if (last >= rows.length - 20) onEnd();
  }, [last, rows.length, onEnd]);

  return (
    <div className="tasks-frame" ref={place} tabIndex={0} role="table" aria-label={t.title} aria-rowcount={rows.length + 1}>
      <div role="rowgroup" className="tasks-head">
        <div className="tasks-row" role="row" aria-rowindex={1}>
          {[t.task, t.state, t.backend, t.tenant, t.entity, t.attempts, t.created].map((name) => (
            <span key={name} role="columnheader">
              {name}
            </span>
          ))}
        </div>
      </div>
      <div role="rowgroup" className="tasks-body" style={{ height: virtual.getTotalSize() }}>
        {seen.map((item) => {
          const task = rows[item.index];
          if (task === undefined) return null;
          return (
            <div
              key={task.task_id}
              className="tasks-row"
              role="row"
              aria-rowindex={item.index + 2}
              style={{ transform: `translateY(${item.start}px)` }}
            >
              <span role="cell" title={task.task_id}>
                {task.task_type} <code>{task.task_id.slice(0, 8)}</code>
              </span>
              <span role="cell">
                <Status tone={TONES[task.state]}>{t[task.state]}</Status>
              </span>
              <span role="cell">{task.backend ?? "–"}</span>
              <span role="cell">{task.tenant_id ?? "–"}</span>
              <span role="cell" title={task.entity_id ?? undefined}>
                {task.entity_id ?? "–"}
              </span>
              <span role="cell">
                {task.attempt} / {task.max_attempts}
              </span>
              <span role="cell">
                <Moment at={task.created_at} />
              </span>
            </div>
          );
        })}
      </div>
    </div>
  );
}
