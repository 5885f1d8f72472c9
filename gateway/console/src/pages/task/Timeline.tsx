import type { components } from "../../api/schema";
import { Moment } from "../../components/Moment";
import { Table } from "../../components/Table";
import { useNow } from "../../components/now";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { type Span, spansOf } from "./spans";
import { taskTexts } from "./texts";

type TaskDispatch = components["schemas"]["TaskDispatch"];

/** What a task waited for and when it ran, to scale, and the same as a table. */
export function Timeline({ task }: { task: TaskDispatch }) {
  const t = useTexts(taskTexts);
  const format = useFormat();
  const now = useNow().getTime();
  const spans = spansOf(task);
  const begin = spans[0]?.start ?? 0;
  const endOf = (span: Span) => span.end ?? Math.max(now, span.start);
  const total = Math.max(1, ...spans.map((span) => endOf(span) - begin));
  const outcomes = { completed: t.hasCompleted, failed: t.hasFailed, stopped: t.hasStopped, lost: t.wasLost };
  const waits = { gateway: t.atGateway, queue: t.inQueue, pause: t.pause };
  const nameOf = (span: Span) =>
    span.kind === "attempt"
      ? t.attempt(format.number(span.attempt.attempt), span.attempt.outcome === null ? t.isRunning : outcomes[span.attempt.outcome])
      : waits[span.kind];
  const toneOf = (span: Span) => (span.kind === "attempt" ? (span.attempt.outcome ?? "running") : span.kind);
  return (
    <section className="part" aria-labelledby="task-timeline">
      <h2 id="task-timeline">{t.timeline}</h2>
      <p className="part-help">{t.timelineHelp}</p>
      <div className="timeline" aria-hidden="true">
        {spans.map((span) => (
          <span
            key={`${span.kind} ${span.start}`}
            className={`timeline-span timeline-${toneOf(span)}`}
            style={{ left: `${((span.start - begin) / total) * 100}%`, width: `${((endOf(span) - span.start) / total) * 100}%` }}
            title={nameOf(span)}
          />
        ))}
      </div>
      <Table columns={[t.span, t.worker, t.from, t.lasted]} labelledBy="task-timeline">
        {spans.map((span) => (
          <tr key={`${span.kind} ${span.start}`}>
            <td>
              <span className={`timeline-key timeline-${toneOf(span)}`} aria-hidden="true" /> {nameOf(span)}
              {span.kind === "attempt" && span.attempt.error !== null && <p className="part-error">{visible(span.attempt.error)}</p>}
            </td>
            <td>{span.kind === "attempt" ? t.on(span.attempt.backend, span.attempt.worker_id) : "–"}</td>
            <td>
              <Moment at={new Date(span.start).toISOString()} />
            </td>
            <td>{format.duration((endOf(span) - span.start) / 1000)}</td>
          </tr>
        ))}
      </Table>
    </section>
  );
}
