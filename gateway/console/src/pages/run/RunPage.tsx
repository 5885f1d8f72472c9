import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useCallback, useEffect, useMemo, useState } from "react";
import { jsonText } from "../../api/json";
import { Empty } from "../../components/Empty";
import { Moment } from "../../components/Moment";
import { PageHead } from "../../components/PageHead";
import { Status } from "../../components/Status";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { runsTexts } from "../runs/texts";
import { TONES } from "../runs/tones";
import { FollowInside } from "./FollowInside";
import { NodePanel, RunLink } from "./NodePanel";
import { NodesInTime } from "./NodesInTime";
import { Picture } from "./Picture";
import { RunActions } from "./RunActions";
import { nodeAt, openRun, openedRuns } from "./inside";
import { prepareLayout } from "./layoutWorker";
import type { RunState } from "./run";
import { runTexts } from "./texts";
import { useRun } from "./useRun";
import "../../components/Part.css";
import "./run.css";

export default function RunPage() {
  const { runId }: { runId: string } = useParams({ strict: false });
  return <RunView key={runId} runId={runId} />;
}

function RunView({ runId }: { runId: string }) {
  const t = useTexts(runTexts);
  const { state, stream } = useRun(runId);
  useEffect(prepareLayout, []);
  return (
    <>
      <p>
        <Link to="/dag-runs">{t.all}</Link>
      </p>
      {state === null && stream === "refused" && (
        <Empty title={t.notThere}>
          <p>{t.notThereHelp}</p>
        </Empty>
      )}
      {state !== null && <Found state={state} />}
    </>
  );
}

function Found({ state }: { state: RunState }) {
  const t = useTexts(runTexts);
  const states = useTexts(runsTexts);
  const format = useFormat();
  const navigate = useNavigate();
  const search: { node?: unknown; open?: unknown } = useSearch({ strict: false });
  const [runs, setRuns] = useState<ReadonlyMap<string, RunState>>(new Map());
  const { run } = state;
  const openText = JSON.stringify(Array.isArray(search.open) ? search.open : []);
  const opened = useMemo(() => new Set((JSON.parse(openText) as unknown[]).filter((path) => typeof path === "string")), [openText]);
  const open = useMemo(() => openRun(state, runs, opened), [state, runs, opened]);
  const { nodes, critical } = open;
  const undoing = useMemo(() => [...state.nodes.values()].filter((node) => node.undoes), [state]);
  const chosen = typeof search.node === "string" ? nodeAt(open, search.node) : null;
  const go = useCallback(
    (node: string | undefined, paths: readonly string[]) =>
      void navigate({ to: ".", search: { ...(node === undefined ? {} : { node }), ...(paths.length === 0 ? {} : { open: paths }) }, replace: true }),
    [navigate],
  );
  const node = typeof search.node === "string" ? search.node : undefined;
  const choose = useCallback((path: string | null) => go(path ?? undefined, [...opened]), [go, opened]);
  const toggle = useCallback(
    (path: string) => go(node, opened.has(path) ? [...opened].filter((one) => one !== path && !one.startsWith(`${path}/`)) : [...opened, path]),
    [go, node, opened],
  );
  const tell = useCallback((id: string, told: RunState) => setRuns((known) => new Map(known).set(id, told)), []);
  return (
    <>
      <PageHead title={states.version(run.dag, format.number(run.version))}>
        <RunActions run={run} />
      </PageHead>
      <p className="part-line">
        <code>{run.run_id}</code> <Status tone={TONES[run.status]}>{states[run.status]}</Status>
        <span>{format.number(run.progress)} %</span>
        <span>
          {t.created} <Moment at={run.created_at} />
        </span>
        {run.parent_run_id !== null && (
          <span>
            {t.inside} <RunLink runId={run.parent_run_id} />
          </span>
        )}
      </p>
      {run.error !== null && (
        <p className="part-error" dir="auto">
          {visible(run.error)}
        </p>
      )}
      {run.is_cut && <p role="status">{t.cut}</p>}
      <section className="part" aria-labelledby="run-picture">
        <h2 id="run-picture">{t.picture}</h2>
        <p className="part-help">{t.pictureHelp}</p>
        <div className={chosen === null ? "run-stage" : "run-stage run-stage-beside"}>
          <Picture run={open} chosen={chosen === null ? null : (node ?? null)} choose={choose} toggle={toggle} />
          {chosen !== null && <NodePanel key={node} run={chosen.run.state.run} node={chosen.node} close={() => choose(null)} />}
        </div>
        <FollowInside ids={[...new Set(openedRuns(open, opened))]} tell={tell} />
      </section>
      <NodesInTime nodes={nodes} undoing={undoing} critical={critical} choose={choose} />
      <Json title={t.params} value={run.params} />
      {run.result !== null && <Json title={t.result} value={run.result} />}
    </>
  );
}

function Json({ title, value }: { title: string; value: unknown }) {
  return (
    <section className="part">
      <h2>{title}</h2>
      <pre className="part-text" tabIndex={0} aria-label={title} dir="auto">
        {visible(jsonText(value, 2))}
      </pre>
    </section>
  );
}
