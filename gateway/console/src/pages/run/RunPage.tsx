import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useCallback, useMemo } from "react";
import { Empty } from "../../components/Empty";
import { Moment } from "../../components/Moment";
import { PageHead } from "../../components/PageHead";
import { Status } from "../../components/Status";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { runsTexts } from "../runs/texts";
import { TONES } from "../runs/tones";
import { NodePanel, RunLink } from "./NodePanel";
import { NodesInTime } from "./NodesInTime";
import { Picture } from "./Picture";
import { RunActions } from "./RunActions";
import { type RunState, criticalPath, drawn } from "./run";
import { runTexts } from "./texts";
import { useRun } from "./useRun";
import "../../components/Table.css";
import "../../components/Part.css";
import "./run.css";

export default function RunPage() {
  const { runId }: { runId: string } = useParams({ strict: false });
  return <RunView key={runId} runId={runId} />;
}

function RunView({ runId }: { runId: string }) {
  const t = useTexts(runTexts);
  const { state, stream } = useRun(runId);
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
  const search: { node?: unknown } = useSearch({ strict: false });
  const { run } = state;
  const nodes = useMemo(() => drawn(state), [state]);
  const critical = useMemo(() => criticalPath(nodes), [nodes]);
  const undoing = useMemo(() => [...state.nodes.values()].filter((node) => node.undoes), [state]);
  const chosen = nodes.find((node) => node.name === search.node);
  const choose = useCallback(
    (name: string | null) => void navigate({ to: ".", search: name === null ? {} : { node: name }, replace: true }),
    [navigate],
  );
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
        <div className={chosen === undefined ? "run-stage" : "run-stage run-stage-beside"}>
          <Picture nodes={nodes} edges={run.edges} critical={critical} chosen={chosen?.name ?? null} choose={choose} />
          {chosen !== undefined && <NodePanel run={run} node={chosen} close={() => choose(null)} />}
        </div>
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
        {visible(JSON.stringify(value, null, 2))}
      </pre>
    </section>
  );
}
