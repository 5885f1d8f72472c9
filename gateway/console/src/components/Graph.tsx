import { Background, Controls, type Edge, type Node, ReactFlow, type ReactFlowInstance, type ReactFlowProps } from "@xyflow/react";
import { type ReactNode, useEffect, useState } from "react";
import "@xyflow/react/dist/style.css";
import "./Graph.css";

/** From so many nodes on, only those that are seen are in the document, and never so many are seen that it slows down. */
const MANY = 200;
const FURTHEST = 0.02;
const FURTHEST_OF_MANY = 0.2;
const FIT = { maxZoom: 1, padding: 0.08 };

interface GraphTexts {
  controls: string;
  zoomIn: string;
  zoomOut: string;
  fit: string;
}

interface GraphProps<N extends Node> extends Omit<ReactFlowProps<N>, "nodes" | "edges"> {
  nodes: N[];
  edges: Edge[];
  texts: GraphTexts;
  /** The picture is fitted to its room whenever this changes; null: not now. */
  fitted: string | null;
  children?: ReactNode;
}

/** A picture of a graph. What can be done in it stands beside it for keyboards, so nothing of it takes the focus. */
export function Graph<N extends Node>({ nodes, texts: t, fitted, children, ...more }: GraphProps<N>) {
  const [flow, setFlow] = useState<ReactFlowInstance<N> | null>(null);
  useEffect(() => {
    if (fitted === null) return;
    // It has another width once the page is laid out.
    const timer = setTimeout(() => void flow?.fitView(FIT), 50);
    return () => clearTimeout(timer);
  }, [flow, fitted]);
  const isLarge = nodes.length > MANY;
  return (
    <ReactFlow
      nodes={nodes}
      nodesDraggable={false}
      nodesFocusable={false}
      edgesFocusable={false}
      onlyRenderVisibleElements={isLarge}
      minZoom={isLarge ? FURTHEST_OF_MANY : FURTHEST}
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
      {...more}
    >
      <Background />
      <Controls showInteractive={false} />
      {children}
    </ReactFlow>
  );
}
