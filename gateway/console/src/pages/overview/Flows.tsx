import { Link } from "@tanstack/react-router";
import type { components } from "../../api/schema";
import { Table } from "../../components/Table";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { overviewTexts } from "./texts";

type TaskFlow = components["schemas"]["TaskFlow"];
type Count = "waiting" | "later" | "held" | "running" | "completed" | "failed" | "stopped" | "dead";

/** In the order in which a task goes through them. */
const COUNTS: readonly Count[] = ["waiting", "later", "held", "running", "completed", "failed", "stopped", "dead"];
const STATES: Record<Exclude<Count, "dead">, readonly string[]> = {
  waiting: ["starting", "queued"],
  later: ["waiting"],
  held: ["waiting"],
  running: ["running"],
  completed: ["completed"],
  failed: ["failed"],
  stopped: ["stopped"],
};

interface FlowsProps {
  flows: readonly TaskFlow[];
  /** A count that is as large may be larger. */
  most: number;
  seconds: number;
}

/** Tasks by backend and stage; each count leads to its tasks. */
export function Flows({ flows, most, seconds }: FlowsProps) {
  const t = useTexts(overviewTexts);
  const format = useFormat();
  const count = (value: number) => (value >= most ? `${format.number(most)}+` : format.number(value));
  const duration = (value: number | null) => (value === null ? "–" : format.duration(value));
  return (
    <section className="part" aria-labelledby="overview-tasks">
      <h2 id="overview-tasks">{t.tasks}</h2>
      <p className="part-help">{t.tasksHelp(format.duration(seconds))}</p>
      <div className="flows" role="group" aria-label={t.tasks} tabIndex={0}>
        <Table columns={[t.backend, ...COUNTS.map((name) => t[name]), t.oldest, t.dispatch]} labelledBy="overview-tasks">
          {flows.map((flow) => {
            const name = flow.backend ?? t.unrouted;
            return (
              <tr key={name}>
                <th scope="row">
                  <span className={flow.backend === null ? "" : `flow-${flow.backend}`}>{name}</span>
                </th>
                {COUNTS.map((part) => (
                  <td key={part}>
                    {flow[part] === 0 ? (
                      <span className="flow-none">0</span>
                    ) : (
                      <Link to={part === "dead" ? "/dead-letters" : "/tasks"} search={part === "dead" ? {} : { q: filterOf(flow, part) }} className={`flow-${part}`} aria-label={`${count(flow[part])}, ${t[part]}, ${name}`}>
                        {count(flow[part])}
                      </Link>
                    )}
                    {part === "dead" && flow.new_dead > 0 && <span className="flow-new"> {t.newDead(count(flow.new_dead))}</span>}
                  </td>
                ))}
                <td>{duration(flow.oldest_seconds)}</td>
                <td>
                  {duration(flow.dispatch_p50_seconds)} / {duration(flow.dispatch_p95_seconds)}
                </td>
              </tr>
            );
          })}
        </Table>
      </div>
    </section>
  );
}

function filterOf(flow: TaskFlow, part: Exclude<Count, "dead">): string {
  const states = flow.backend === null && part === "waiting" ? ["waiting"] : STATES[part];
  return [...states.map((state) => `state:${state}`), ...(flow.backend === null ? [] : [`backend:${flow.backend}`])].join(" ");
}
