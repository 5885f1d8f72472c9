import { useVirtualizer } from "@tanstack/react-virtual";
import { useRef } from "react";
import { Moment } from "../../components/Moment";
import { useNow } from "../../components/now";
import { Status } from "../../components/Status";
import { Table } from "../../components/Table";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { runsTexts } from "../runs/texts";
import { TONES } from "../runs/tones";
import type { DrawnNode, NodeState } from "./run";
import { runTexts } from "./texts";

/** From so many rows on, the table has a frame of its own, and only what is seen of it is in the document. */
const MANY = 100;
const ROW = 52;

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
  const now = useNow().getTime();
  const frame = useRef<HTMLDivElement>(null);
  const begun = nodes.filter((node) => node.start !== null);
  const first = Math.min(...begun.map((node) => node.start ?? Infinity));
  const endOf = (node: DrawnNode) => node.end ?? Math.max(now, node.start ?? now);
  const total = Math.max(1, ...begun.map((node) => endOf(node) - first));
  const ordered = [...nodes].sort((one, other) => (one.start ?? Infinity) - (other.start ?? Infinity));
  const count = ordered.length + undoing.length;
  const isLong = count > MANY;
  // eslint-disable-next-line react-hooks/incompatible-library -- what it returns is used here alone
  const virtual = useVirtualizer({ count: isLong ? count : 0, getScrollElement: () => frame.current, estimateSize: () => ROW, overscan: 6 });
  const seen = virtual.getVirtualItems();
  const above = seen[0]?.start ?? 0;
  const below = isLong ? virtual.getTotalSize() - (seen.at(-1)?.end ?? 0) : 0;
  const rowOf = (index: number) => {
    const place = isLong ? { "data-index": index, "aria-rowindex": index + 2, ref: virtual.measureElement } : {};
    const node = ordered[index];
    if (node !== undefined) {
      return (
        <tr key={node.name} {...place}>
          <NodeCells node={node} begin={first} end={endOf(node)} total={total} isCritical={critical.has(node.name)} choose={choose} />
        </tr>
      );
    }
    const undone = undoing[index - ordered.length];
    return undone === undefined ? null : (
      <tr key={undone.path} {...place}>
        <UndoCells node={undone} />
      </tr>
    );
  };
  return (
    <section className="part" aria-labelledby="run-times">
      <h2 id="run-times">{t.table}</h2>
      <p className="part-help">{t.tableHelp}</p>
      <div ref={frame} {...(isLong ? { className: "run-times-frame", tabIndex: 0, role: "group", "aria-labelledby": "run-times" } : {})}>
        <Table columns={[t.node, t.status, t.attempts, t.when, t.lasted]} rowCount={isLong ? count + 1 : undefined}>
          {above > 0 && <Space height={above} />}
          {isLong ? seen.map(({ index }) => rowOf(index)) : Array.from({ length: count }, (_, index) => rowOf(index))}
          {below > 0 && <Space height={below} />}
        </Table>
      </div>
    </section>
  );
}

/** Where rows would stand that are not in the document. */
function Space({ height }: { height: number }) {
  return (
    <tr aria-hidden="true">
      <td className="run-times-space" colSpan={5} style={{ height }} />
    </tr>
  );
}

interface NodeCellsProps {
  node: DrawnNode;
  /** Of the whole run. */
  begin: number;
  end: number;
  total: number;
  isCritical: boolean;
  choose: (name: string) => void;
}

function NodeCells({ node, begin, end, total, isCritical, choose }: NodeCellsProps) {
  const t = useTexts(runTexts);
  const states = useTexts(runsTexts);
  const format = useFormat();
  const tone = TONES[node.state.status];
  return (
    <>
      <td>
        <button type="button" className="run-choose" onClick={() => choose(node.name)}>
          {node.name}
        </button>
        {isCritical && <span className="part-help"> {t.critical}</span>}
      </td>
      <td>
        <Status tone={tone}>{states[node.state.status]}</Status>
      </td>
      <td>{format.number(node.state.attempt)}</td>
      <td className="run-time">
        {node.start === null ? (
          "–"
        ) : (
          <>
            <span className="run-bar" aria-hidden="true">
              <span
                className={`run-bar-part run-bar-${tone}`}
                style={{ left: `${((node.start - begin) / total) * 100}%`, width: `${((end - node.start) / total) * 100}%` }}
              />
            </span>
            <Moment at={new Date(node.start).toISOString()} />
          </>
        )}
      </td>
      <td>{node.start === null ? "–" : format.duration((end - node.start) / 1000)}</td>
    </>
  );
}

function UndoCells({ node }: { node: NodeState }) {
  const t = useTexts(runTexts);
  const states = useTexts(runsTexts);
  const format = useFormat();
  return (
    <>
      <td>{t.undoes(node.position === null ? node.node : `${node.node}[${node.position}]`)}</td>
      <td>
        <Status tone={TONES[node.status]}>{states[node.status]}</Status>
      </td>
      <td>{format.number(node.attempt)}</td>
      <td>{node.created_at === null ? "–" : <Moment at={node.created_at} />}</td>
      <td>–</td>
    </>
  );
}
