import { useVirtualizer } from "@tanstack/react-virtual";
import { Link } from "@tanstack/react-router";
import { type KeyboardEvent, memo, useEffect, useRef } from "react";
import { Moment } from "../../components/Moment";
import { Status } from "../../components/Status";
import { shortId } from "../../components/shortId";
import { useTexts } from "../../i18n/catalogue";
import type { TaskFacts } from "./list";
import { TONES } from "./states";
import { tasksTexts } from "./texts";

const ROW = 32;

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

  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1, Home: -rows.length, End: rows.length }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const at = event.target instanceof HTMLElement ? event.target.dataset.row : undefined;
    const next = at === undefined ? 0 : Math.min(rows.length - 1, Math.max(0, Number(at) + step));
    virtual.scrollToIndex(next);
    const find = () => place.current?.querySelector<HTMLElement>(`[data-row="${next}"]`);
    const row = find();
    if (row) row.focus();
    // It is drawn once it is scrolled to.
    else requestAnimationFrame(() => requestAnimationFrame(() => find()?.focus()));
  };

  return (
    <div className="tasks-frame" ref={place} onKeyDown={onKeyDown} tabIndex={0} role="table" aria-label={t.title} aria-rowcount={rows.length + 1}>
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
          return <Row key={task.task_id} task={task} index={item.index} start={item.start} />;
        })}
      </div>
    </div>
  );
}

/** While one scrolls, those that are seen already are not drawn again. */
const Row = memo(function Row({ task, index, start }: { task: TaskFacts; index: number; start: number }) {
  const t = useTexts(tasksTexts);
  return (
    <div className="tasks-row" role="row" aria-rowindex={index + 2} style={{ transform: `translateY(${start}px)` }}>
      <span role="cell" title={task.task_id}>
        <Link to="/tasks/$taskId" params={{ taskId: task.task_id }} preload={false} data-row={index}>
          {task.task_type} <code>{shortId(task.task_id)}</code>
        </Link>
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
});
