import { Background, Controls, type Edge, type Node, ReactFlow, type ReactFlowInstance, type ReactFlowProps, useStore } from "@xyflow/react";
import { type MouseEvent, type ReactNode, useCallback, useEffect, useMemo, useState } from "react";
import { FarGraph, boundsOf, boxesOf, nodeAtPoint } from "./FarGraph";
import "@xyflow/react/dist/style.css";
import "./Graph.css";

/** From so many nodes on, only those that are seen are in the document, and from afar they are shapes without words. */
const MANY = 200;
/** Below this zoom one is far away. */
const NEAR = 0.55;
const FURTHEST = 0.02;
const FIT = { maxZoom: 1, padding: 0.08 };
const HERE = { x: 0, y: 0, zoom: 1 };
const FAR = { x: 0, y: 0, zoom: 0.1 };
const NO_EDGES: Edge[] = [];

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
  /** Of a large graph from afar: how a node looks, and what a press on it does. It stays the same function. */
  farClass: (node: N) => string;
  pick?: ((id: string) => void) | undefined;
  children?: ReactNode;
}

/** A picture of a graph. What can be done in it stands beside it for keyboards, so nothing of it takes the focus. */
export function Graph<N extends Node>({ nodes, edges, texts: t, fitted, farClass, pick, onPaneClick, children, ...more }: GraphProps<N>) {
  const [flow, setFlow] = useState<ReactFlowInstance<N> | null>(null);
  const [isOut, setOut] = useState(true);
  const isLarge = nodes.length > MANY;
  const isFar = isLarge && isOut;
  const boxes = useMemo(() => (isLarge ? boxesOf(nodes) : null), [isLarge, nodes]);
  const fit = useCallback(() => {
    // What is drawn from afar React Flow does not know.
    if (boxes !== null) void flow?.fitBounds(boundsOf(boxes.values()), { padding: FIT.padding });
    else void flow?.fitView(FIT);
  }, [flow, boxes]);
  useEffect(() => {
    if (fitted === null) return;
    if (isLarge) fit();
    // It has another width once the page is laid out.
    const timer = setTimeout(fit, 50);
    return () => clearTimeout(timer);
    // What happens to the nodes meanwhile moves nothing.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [flow, fitted]);
  const pressed = (event: MouseEvent) => {
    const place = isFar ? flow?.screenToFlowPosition({ x: event.clientX, y: event.clientY }, { snapToGrid: false }) : undefined;
    const found = place === undefined || boxes === null ? null : nodeAtPoint(boxes.values(), place.x, place.y);
    if (found !== null && pick !== undefined) pick(found);
    else onPaneClick?.(event);
  };
  return (
    <ReactFlow
      nodes={isFar ? [] : nodes}
      edges={isFar ? NO_EDGES : edges}
      nodesDraggable={false}
      nodesFocusable={false}
      edgesFocusable={false}
      onlyRenderVisibleElements={isLarge}
      minZoom={FURTHEST}
      maxZoom={1.5}
      // A large one begins from afar: drawn near at first, it would be drawn twice.
      defaultViewport={isLarge ? FAR : HERE}
      fitView={!isLarge}
      fitViewOptions={FIT}
      onInit={setFlow}
      onPaneClick={pressed}
      ariaLabelConfig={{
        "controls.ariaLabel": t.controls,
        "controls.zoomIn.ariaLabel": t.zoomIn,
        "controls.zoomOut.ariaLabel": t.zoomOut,
        "controls.fitView.ariaLabel": t.fit,
      }}
      {...more}
    >
      <Background />
      <Controls showInteractive={false} fitViewOptions={FIT} onFitView={fit} />
      <Distance tell={setOut} />
      {isFar && boxes !== null && <FarGraph nodes={nodes} edges={edges} boxes={boxes} classOf={farClass} />}
      {children}
    </ReactFlow>
  );
}

/** Tells whether one is far away. */
function Distance({ tell }: { tell: (isOut: boolean) => void }) {
  // Before it has a view the store says that one is near, and all would be drawn near for a moment.
  const isOut = useStore((state) => (state.panZoom === null ? null : state.transform[2] < NEAR));
  useEffect(() => {
    if (isOut !== null) tell(isOut);
  }, [isOut, tell]);
  return null;
}
