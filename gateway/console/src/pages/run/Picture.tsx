import { type Edge, Handle, type Node, type NodeProps, Position } from "@xyflow/react";
import { memo, useMemo } from "react";
import { Graph } from "../../components/Graph";
import { Status } from "../../components/Status";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { runsTexts } from "../runs/texts";
import { TONES } from "../runs/tones";
import { type OpenRun, graphOf } from "./inside";
import { boxOf } from "./box";
import { type Edge as Line, NODE } from "./layout";
import type { DrawnNode, NodeState } from "./run";
import { runTexts } from "./texts";
import { type Found, useLayout } from "./useLayout";

interface ShownData extends Record<string, unknown> {
  path: string;
  node: DrawnNode;
  isCritical: boolean;
  isChosen: boolean;
  /** Whether what is inside is shown; null: there is nothing inside. */
  isOpened: boolean | null;
  choose: (path: string) => void;
  toggle: (path: string) => void;
}
type Shown = Node<ShownData, "run">;

interface PictureProps {
  run: OpenRun;
  chosen: string | null;
  choose: (path: string) => void;
  toggle: (path: string) => void;
}

/** The DAG with the state of each node, and of those inside that are opened. A state that changes lays nothing out again. */
export function Picture({ run, chosen, choose, toggle }: PictureProps) {
  const t = useTexts(runTexts);
  const graph = graphOf(run);
  const key = JSON.stringify(graph);
  const found = useLayout(key, graph);
  const isBeside = chosen !== null;
  const shown = useMemo(() => (found === null ? [] : nodesOf(run, found, { chosen, choose, toggle })), [run, found, chosen, choose, toggle]);
  const lines = useMemo(() => edgesOf(run), [run]);
  if (found === null) return <p className="run-picture run-wait">{t.drawing}</p>;
  return (
    <div className="run-picture graph">
      <Graph
        nodes={shown}
        edges={lines}
        texts={t}
        fitted={JSON.stringify([key, isBeside])}
        farClass={farClass}
        pick={choose}
        nodeTypes={NODE_TYPES}
        nodesConnectable={false}
        elementsSelectable={false}
      />
    </div>
  );
}

interface Choosing {
  chosen: string | null;
  choose: (path: string) => void;
  toggle: (path: string) => void;
}

/** As it was drawn last. React Flow draws again what is another object, so what has not changed stays the same one. */
const LAST = new WeakMap<NodeState, Shown>();

function kept(shown: Shown): Shown {
  const { state } = shown.data.node;
  const last = LAST.get(state);
  if (last?.position === shown.position && last.width === shown.width && last.height === shown.height && isSame(last, shown)) return last;
  LAST.set(state, shown);
  return shown;
}

const ORIGIN = { x: 0, y: 0 };

/** A node that stands within another one comes after that. */
function nodesOf(run: OpenRun, found: Found, choosing: Choosing, prefix = ""): Shown[] {
  const { chosen, choose, toggle } = choosing;
  return run.nodes.flatMap((node): Shown[] => {
    const path = prefix + node.name;
    const inner = run.inside.get(node.name);
    return [
      kept({
        id: path,
        type: "run",
        position: found.places[path] ?? ORIGIN,
        ...boxOf(found.sizes[path] ?? NODE),
        ...(prefix === "" ? {} : { parentId: prefix.slice(0, -1) }),
        data: {
          path,
          node,
          isCritical: run.critical.has(node.name),
          isChosen: path === chosen,
          isOpened: node.state.run_id === null ? null : inner !== undefined,
          choose,
          toggle,
        },
      }),
      ...(inner === undefined ? [] : nodesOf(inner, found, choosing, `${path}/`)),
    ];
  });
}

const LAST_LINES = new WeakMap<Line, Edge>();

function edgesOf(run: OpenRun, prefix = ""): Edge[] {
  const own = run.state.run.edges.map((line): Edge => {
    const source = prefix + line.source;
    const target = prefix + line.target;
    const id = `${source}\n${target}`;
    const className = run.critical.has(line.source) && run.critical.has(line.target) ? "run-edge-critical" : "run-edge";
    const last = LAST_LINES.get(line);
    if (last?.id === id && last.className === className) return last;
    // In front of the node that they stand in.
    const edge = { id, source, target, className, zIndex: prefix === "" ? 0 : 1 };
    LAST_LINES.set(line, edge);
    return edge;
  });
  return [...own, ...[...run.inside].flatMap(([name, inner]) => edgesOf(inner, `${prefix}${name}/`))];
}

function RunNode({ data: { path, node, isCritical, isChosen, isOpened, choose, toggle } }: NodeProps<Shown>) {
  const t = useTexts(runTexts);
  const states = useTexts(runsTexts);
  const format = useFormat();
  const { state, counts } = node;
  const more =
    counts !== null
      ? t.items(format.number(counts.completed + counts.failed), format.number(counts.total))
      : state.condition !== null
        ? t.condition(state.condition ? t.yes : t.no)
        : state.status === "running"
          ? `${format.number(state.progress)} %`
          : null;
  return (
    <div className={isOpened === true ? "run-box" : "run-closed"}>
      <Handle type="target" position={Position.Left} isConnectable={false} />
      <button
        type="button"
        className={`graph-node nopan${isCritical ? " run-node-critical" : ""}`}
        aria-pressed={isChosen}
        title={node.name}
        onClick={() => choose(path)}
      >
        <span className="graph-node-name">{node.name}</span>
        <span className="run-node-more">
          <Status tone={TONES[state.status]}>{states[state.status]}</Status>
          {more !== null && <span>{more}</span>}
        </span>
      </button>
      {isOpened !== null && (
        <button type="button" className="run-open nopan" aria-expanded={isOpened} aria-label={t.inPlace(path)} title={t.inPlace(path)} onClick={() => toggle(path)}>
          {isOpened ? "−" : "+"}
        </button>
      )}
      <Handle type="source" position={Position.Right} isConnectable={false} />
    </div>
  );
}

/** Of a large run most nodes are as they were: those are not drawn again. */
function isSame({ data: one }: Pick<Shown, "data">, { data: other }: Pick<Shown, "data">): boolean {
  return (
    one.path === other.path &&
    one.node.state === other.node.state &&
    one.node.counts?.completed === other.node.counts?.completed &&
    one.node.counts?.failed === other.node.counts?.failed &&
    one.node.counts?.total === other.node.counts?.total &&
    one.isCritical === other.isCritical &&
    one.isChosen === other.isChosen &&
    one.isOpened === other.isOpened &&
    one.choose === other.choose &&
    one.toggle === other.toggle
  );
}

function farClass({ data: { node, isChosen, isOpened } }: Shown): string {
  return `graph-far-${isOpened === true ? "open" : TONES[node.state.status]}${isChosen ? " graph-far-chosen" : ""}`;
}

const NODE_TYPES = { run: memo(RunNode, isSame) };
