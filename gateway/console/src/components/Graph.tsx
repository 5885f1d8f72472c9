import { Background, Controls, type Edge, type Node, ReactFlow, type ReactFlowInstance, type ReactFlowProps, useStore, useStoreApi } from "@xyflow/react";
import { type DragEvent, type FocusEvent, type MouseEvent, type ReactNode, useCallback, useEffect, useEffectEvent, useMemo, useState } from "react";
import { type Box, FarGraph, boundsOf, boxesOf, nodeAtPoint, nodesInside } from "./FarGraph";
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

type Drawn = Omit<Box, "id">;

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
  /** What a box that is drawn around nodes from afar does. */
  pickAll?: ((ids: string[]) => void) | undefined;
  /** What is dragged here from elsewhere and let go; `under`: on this node. */
  dropped?: ((event: DragEvent, under: string | null) => void) | undefined;
  children?: ReactNode;
}

/** A picture of a graph. What can be done in it stands beside it for keyboards, so nothing of it takes the focus. */
export function Graph<N extends Node>({ nodes, edges, texts: t, fitted, farClass, pick, pickAll, dropped, onPaneClick, children, ...more }: GraphProps<N>) {
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
  const placeOf = ({ clientX: x, clientY: y }: MouseEvent) => flow?.screenToFlowPosition({ x, y }, { snapToGrid: false });
  /** From afar. */
  const nodeUnder = (event: MouseEvent) => {
    const place = isFar ? placeOf(event) : undefined;
    return place === undefined || boxes === null ? null : nodeAtPoint(boxes.values(), place.x, place.y);
  };
  const pressed = (event: MouseEvent) => {
    const found = nodeUnder(event);
    if (found !== null && pick !== undefined) pick(found);
    else onPaneClick?.(event);
  };
  const come = (event: MouseEvent) => {
    const box = boxes?.get(nodeUnder(event) ?? "");
    if (box !== undefined) void flow?.setCenter(box.x + box.width / 2, box.y + box.height / 2, { zoom: 1 });
  };
  /** A node that is reached by keyboard and not seen comes into the middle. */
  const show = ({ target, currentTarget }: FocusEvent) => {
    const shape = target.matches(":focus-visible") ? target.closest<HTMLElement>(".react-flow__node") : null;
    const node = shape === null ? undefined : flow?.getInternalNode(shape.dataset.id ?? "");
    if (flow === null || shape === null || node === undefined) return;
    const { x, y } = node.internals.positionAbsolute;
    const [width, height] = [node.width ?? 0, node.height ?? 0];
    const view = flow.getViewport();
    // Not by what the browser shows: it has scrolled to the node already, and React Flow takes that back.
    const [left, top] = [x * view.zoom + view.x, y * view.zoom + view.y];
    const isSeen = left >= 0 && top >= 0 && left + width * view.zoom <= currentTarget.clientWidth && top + height * view.zoom <= currentTarget.clientHeight;
    if (!isSeen) void flow.setCenter(x + width / 2, y + height / 2, { zoom: view.zoom });
  };
  const letGo = (event: DragEvent) => {
    const near = (event.target as Element).closest<HTMLElement>(".react-flow__node")?.dataset.id;
    dropped?.(event, near ?? nodeUnder(event));
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
      // From afar a node is shown near instead, with what connects it.
      zoomOnDoubleClick={!isFar}
      onDoubleClick={isFar ? come : undefined}
      onDrop={letGo}
      onFocus={show}
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
      {isFar && boxes !== null && pickAll !== undefined && <FarBox boxes={boxes} pickAll={pickAll} />}
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

/** A box that is drawn from afar: once it is let go, what stands in it is picked. */
function FarBox({ boxes, pickAll }: { boxes: ReadonlyMap<string, Box>; pickAll: (ids: string[]) => void }) {
  const store = useStoreApi();
  const ended = useEffectEvent((drawn: Drawn, [left, top, zoom]: [number, number, number]) => {
    const { x, y, width, height } = drawn;
    pickAll(nodesInside(boxes.values(), { x: (x - left) / zoom, y: (y - top) / zoom, width: width / zoom, height: height / zoom }));
  });
  useEffect(
    () =>
      store.subscribe((now, before) => {
        if (before.userSelectionActive && !now.userSelectionActive && before.userSelectionRect !== null) ended(before.userSelectionRect, now.transform);
      }),
    [store],
  );
  return null;
}
