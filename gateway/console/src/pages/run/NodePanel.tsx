import { Link } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { api } from "../../api/client";
import { jsonText } from "../../api/json";
import { may, useSession } from "../../api/session";
import { Button } from "../../components/Button";
import { Detail } from "../../components/Detail";
import { Failure } from "../../components/Failure";
import { Field } from "../../components/Field";
import { Status } from "../../components/Status";
import { useAct } from "../../components/useAct";
import { visible } from "../../components/visible";
import { shortId } from "../../components/shortId";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { runsTexts } from "../runs/texts";
import { TONES } from "../runs/tones";
import type { DrawnNode, NodeState, RunSummary } from "./run";
import { runTexts } from "./texts";

/** Items that are shown. */
const MOST = 50;

/** All that is known of one node, and what can be done with it. */
export function NodePanel({ run, node, close }: { run: RunSummary; node: DrawnNode; close: () => void }) {
  const t = useTexts(runTexts);
  const states = useTexts(runsTexts);
  const format = useFormat();
  const { state, counts } = node;
  const kinds = { task: t.task, dag: t.dag, approval: t.approval, signal: t.signal };
  const rows: [string, ReactNode][] = [
    [t.kind, kinds[state.kind]],
    [t.type, state.type],
    [t.needs, node.needs.length === 0 ? null : node.needs.join(", ")],
    [t.waitsFor, state.waits_for],
    [t.conditionIs, state.condition === null ? null : state.condition ? t.yes : t.no],
    [t.decidedBy, state.decided_by],
    [t.reason, state.reason === null ? null : visible(state.reason)],
    [t.attempts, state.max_attempts === null ? null : `${state.attempt} / ${state.max_attempts}`],
    [
      t.progress,
      counts === null
        ? `${format.number(state.progress)} %`
        : [
            t.items(format.number(counts.completed + counts.failed), format.number(counts.total)),
            ...(counts.failed > 0 ? [t.itemsFailed(format.number(counts.failed))] : []),
          ].join(", "),
    ],
    [t.message, state.message === null ? null : visible(state.message)],
    [t.worker, state.worker_id],
    [t.error, state.error === null ? null : <span className="part-error">{visible(state.error)}</span>],
    [t.answer, state.answer === null ? null : <code>{visible(jsonText(state.answer))}</code>],
    [t.toRun, state.run_id === null ? null : <RunLink runId={state.run_id} />],
    [t.toTask, state.task_id === null || state.run_id !== null || state.kind !== "task" ? null : <TaskLink taskId={state.task_id} />],
  ];
  return (
    <Detail
      className="run-panel"
      title={
        <>
          {node.name} <Status tone={TONES[state.status]}>{states[state.status]}</Status>
        </>
      }
      closeText={t.close}
      close={close}
    >
      <dl className="facts">
        {rows.map(([name, value]) =>
          value === null ? null : (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ),
        )}
      </dl>
      <NodeActions key={state.path} run={run} state={state} />
      {node.items.length > 0 && <Items items={node.items} />}
    </Detail>
  );
}

function NodeActions({ run, state }: { run: RunSummary; state: NodeState }) {
  const t = useTexts(runTexts);
  const session = useSession();
  const [comment, setComment] = useState("");
  const [reason, setReason] = useState("");
  // What comes of it is told by the stream.
  const { once, error } = useAct();
  if (!may(session, "steer", run)) return null;
  const path = { params: { path: { run_id: run.run_id, path: state.path } } };
  const answer = (approved: boolean) =>
    once(() => api.POST("/gateway/v1/dag-runs/{run_id}/nodes/{path}/approve", { ...path, body: { approved, comment: comment.trim() || null } }));
  const canSkip = run.status !== "completed" && state.status !== "completed" && state.status !== "skipped";
  return (
    <div className="part-form">
      {state.kind === "approval" && state.status === "waiting" && (
        <>
          <Field label={t.comment} value={comment} onChange={setComment} maxLength={4000} />
          <div className="run-buttons">
            <Button weight="primary" onPress={() => answer(true)}>
              {t.approve}
            </Button>
            <Button weight="danger" onPress={() => answer(false)}>
              {t.reject}
            </Button>
          </div>
        </>
      )}
      {canSkip && (
        <>
          <Field label={t.skipReason} value={reason} onChange={setReason} maxLength={4000} />
          <div className="run-buttons">
            <Button
              isDisabled={reason.trim() === ""}
              onPress={() => once(() => api.POST("/gateway/v1/dag-runs/{run_id}/nodes/{path}/skip", { ...path, body: { reason: reason.trim() } }))}
            >
              {t.skip}
            </Button>
          </div>
        </>
      )}
      {error !== null && <Failure error={error} />}
    </div>
  );
}

/** Those that failed first: a fan-out may have thousands. */
function Items({ items }: { items: readonly NodeState[] }) {
  const t = useTexts(runTexts);
  const states = useTexts(runsTexts);
  const format = useFormat();
  const rank = (item: NodeState) => (item.status === "failed" ? 0 : item.status === "running" ? 1 : 2);
  const ordered = [...items].sort((one, other) => rank(one) - rank(other) || (one.position ?? 0) - (other.position ?? 0));
  return (
    <div>
      <h3 id="run-items">{t.itemsTitle}</h3>
      <ul className="run-items" aria-labelledby="run-items">
        {ordered.slice(0, MOST).map((item) => (
          <li key={item.path}>
            {item.task_id === null ? item.path : <TaskLink taskId={item.task_id} name={item.path} />}{" "}
            <Status tone={TONES[item.status]}>{states[item.status]}</Status>
            {item.error !== null && <span className="part-error"> {visible(item.error)}</span>}
          </li>
        ))}
      </ul>
      {ordered.length > MOST && <p className="part-help">{t.itemsMore(format.number(ordered.length - MOST))}</p>}
    </div>
  );
}

function TaskLink({ taskId, name }: { taskId: string; name?: string }) {
  return (
    <Link to="/tasks/$taskId" params={{ taskId }} preload={false}>
      {name ?? <code>{shortId(taskId)}</code>}
    </Link>
  );
}

export function RunLink({ runId }: { runId: string }) {
  return (
    <Link to="/dag-runs/$runId" params={{ runId }} preload={false}>
      <code>{shortId(runId)}</code>
    </Link>
  );
}
