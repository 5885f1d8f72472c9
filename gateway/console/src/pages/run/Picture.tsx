import { Background, Controls, type Edge, Handle, type Node, type NodeProps, Position, ReactFlow, type ReactFlowInstance } from "@xyflow/react";
import { memo, useEffect, useMemo, useState } from "react";
import { Status } from "../../components/Status";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { runsTexts } from "../runs/texts";
import { TONES } from "../runs/tones";
import { NODE } from "./layout";
import type { DrawnNode } from "./run";
import { runTexts } from "./texts";
import { useLayout } from "./useLayout";
import "@xyflow/react/dist/style.css";

type Shown = Node<{ node: DrawnNode; isCritical: boolean; isChosen: boolean; choose: (name: string) => void }, "run">;

interface PictureProps {
  nodes: readonly DrawnNode[];
  edges: readonly { source: string; target: string }[];
  critical: ReadonlySet<string>;
  chosen: string | null;
  choose: (name: string) => void;
}

const FIT = { maxZoom: 1, padding: 0.08 };
/** From so many nodes on, only those that are seen are in the document. */
const MANY = 200;

/** The DAG with the state of each node. A state that changes lays nothing out again. */
export function Picture({ nodes, edges, critical, chosen, choose }: PictureProps) {
  const t = useTexts(runTexts);
  const [flow, setFlow] = useState<ReactFlowInstance<Shown> | null>(null);
  const isBeside = chosen !== null;
  useEffect(() => {
    // It has another width once the page is laid out.
    const timer = setTimeout(() => void flow?.fitView(FIT), 50);
    return () => clearTimeout(timer);
  }, [flow, isBeside]);
  const names = nodes.map((node) => node.name);
  const key = JSON.stringify([names, edges]);
  const places = useLayout(key, names, edges);
  const shown = useMemo(
    () =>
      places === null
        ? []
        : nodes.map(
            (node): Shown => ({
              id: node.name,
              type: "run",
              position: places[node.name] ?? { x: 0, y: 0 },
              ...NODE,
              data: { node, isCritical: critical.has(node.name), isChosen: node.name === chosen, choose },
            }),
          ),
    [places, nodes, critical, chosen, choose],
  );
  const lines = useMemo(
    () =>
      edges.map(
        ({ source, target }): Edge => ({
          id: `${source}\n${target}`,
          source,
          target,
          className: critical.has(source) && critical.has(target) ? "run-edge-critical" : "run-edge",
        }),
      ),
    [edges, critical],
  );
  if (places === null) return <p className="run-picture run-wait">{t.drawing}</p>;
  return (
    <div className="run-picture">
      <ReactFlow
        nodes={shown}
        edges={lines}
        nodeTypes={NODE_TYPES}
        nodesDraggable={false}
        nodesConnectable={false}
        nodesFocusable={false}
        edgesFocusable={false}
        elementsSelectable={false}
        onlyRenderVisibleElements={nodes.length > MANY}
        minZoom={0.02}
        maxZoom={1.5}
        fitView
        fitViewOptions={FIT}
        onInit={setFlow}
        ariaLabelConfig={{
          "controls.ariaLabel": t.controls,
          "controls.zoomIn.ariaLabel": t.zoomIn,
          "controls.zoomOut.ariaLabel": t.zoomOut,
          "controls.fitView.ariaLabel": t.fit,
        }}
      >
        <Background />
        <Controls showInteractive={false} />
      </ReactFlow>
    </div>
  );
}

function RunNode({ data: { node, isCritical, isChosen, choose } }: NodeProps<Shown>) {
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
    <>
      <Handle type="target" position={Position.Left} isConnectable={false} />
      <button
        type="button"
        className={`run-node nopan${isCritical ? " run-node-critical" : ""}`}
        aria-pressed={isChosen}
        onClick={() => choose(node.name)}
      >
        <span className="run-node-name">{node.name}</span>
        <span className="run-node-more">
          <Status tone={TONES[state.status]}>{states[state.status]}</Status>
          {more !== null && <span>{more}</span>}
        </span>
      </button>
      <Handle type="source" position={Position.Right} isConnectable={false} />
    </>
  );
}

/** Of a large run most nodes are as they were: those are not drawn again. */
function isSame({ data: one }: NodeProps<Shown>, { data: other }: NodeProps<Shown>): boolean {
  return (
    one.node.state === other.node.state &&
    one.node.counts?.completed === other.node.counts?.completed &&
    one.node.counts?.failed === other.node.counts?.failed &&
    one.node.counts?.total === other.node.counts?.total &&
    one.isCritical === other.isCritical &&
    one.isChosen === other.isChosen &&
    one.choose === other.choose
  );
}

const NODE_TYPES = { run: memo(RunNode, isSame) };
