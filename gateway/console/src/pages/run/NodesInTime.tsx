import { Moment } from "../../components/Moment";
import { useNow } from "../../components/now";
import { Status } from "../../components/Status";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { runsTexts } from "../runs/texts";
import { TONES } from "../runs/tones";
import type { DrawnNode, NodeState } from "./run";
import { runTexts } from "./texts";

interface NodesInTimeProps {
  nodes: readonly DrawnNode[];
  /** What was undone after a failure. */
  undoing: readonly NodeState[];
  critical: ReadonlySet<string>;
  choose: (name: string) => void;
}

/** When each node ran, to scale, and the same as a table: a Gantt chart. */
export function NodesInTime({ nodes, undoing, critical, choose }: NodesInTimeProps) {
  const t = useTexts(runTexts);
  const states = useTexts(runsTexts);
  const format = useFormat();
  const now = useNow().getTime();
  const begun = nodes.filter((node) => node.start !== null);
  const first = Math.min(...begun.map((node) => node.start ?? Infinity));
  const endOf = (node: DrawnNode) => node.end ?? Math.max(now, node.start ?? now);
  const total = Math.max(1, ...begun.map((node) => endOf(node) - first));
  const ordered = [...nodes].sort((one, other) => (one.start ?? Infinity) - (other.start ?? Infinity));
  return (
    <section className="part" aria-labelledby="run-times">
      <h2 id="run-times">{t.table}</h2>
      <p className="part-help">{t.tableHelp}</p>
      <table className="table run-times">
        <thead>
          <tr>
            {[t.node, t.status, t.attempts, t.when, t.lasted].map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {ordered.map((node) => (
            <tr key={node.name}>
              <td>
                <button type="button" className="run-choose" onClick={() => choose(node.name)}>
                  {node.name}
                </button>
                {critical.has(node.name) && <span className="part-help"> {t.critical}</span>}
              </td>
              <td>
                <Status tone={TONES[node.state.status]}>{states[node.state.status]}</Status>
              </td>
              <td>{format.number(node.state.attempt)}</td>
              <td className="run-time">
                {node.start === null ? (
                  "–"
                ) : (
                  <>
                    <span className="run-bar" aria-hidden="true">
                      <span
                        className={`run-bar-part run-bar-${TONES[node.state.status]}`}
                        style={{ left: `${((node.start - first) / total) * 100}%`, width: `${((endOf(node) - node.start) / total) * 100}%` }}
                      />
                    </span>
                    <Moment at={new Date(node.start).toISOString()} />
                  </>
                )}
              </td>
              <td>{node.start === null ? "–" : format.duration((endOf(node) - node.start) / 1000)}</td>
            </tr>
          ))}
          {undoing.map((node) => (
            <tr key={node.path}>
              <td>{t.undoes(node.position === null ? node.node : `${node.node}[${node.position}]`)}</td>
              <td>
                <Status tone={TONES[node.status]}>{states[node.status]}</Status>
              </td>
              <td>{format.number(node.attempt)}</td>
              <td>{node.created_at === null ? "–" : <Moment at={node.created_at} />}</td>
              <td>–</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
