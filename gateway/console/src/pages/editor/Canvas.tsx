import { type Connection, type Edge, Handle, type Node, type NodeChange, type NodeProps, Position } from "@xyflow/react";
import { type DragEvent, type KeyboardEvent, memo, useMemo, useState } from "react";
import { Graph } from "../../components/Graph";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { boxOf } from "../run/box";
import { NODE } from "../run/layout";
import { type DagNode, type Definition, edgesOf } from "./model/definition";
import { DRAGGED } from "./Palette";
import { editorTexts } from "./texts";
import { usePlaces } from "./usePlaces";

/** Of a node in a comparison. */
export type Difference = "added" | "removed" | "changed" | "same";

interface Data extends Record<string, unknown> {
  node: DagNode;
  faults: number;
  difference: Difference | null;
}
type Shown = Node<Data, "edit">;

interface CanvasProps {
  definition: Pick<Definition, "nodes">;
  /** Ids of the outline. */
  chosen?: ReadonlySet<string>;
  faults?: ReadonlyMap<string, number>;
  differences?: ReadonlyMap<string, Difference>;
  /** Left out: it is looked at. */
  acts?: {
    choose: (ids: ReadonlySet<string>) => void;
    connect: (source: string, target: string) => void;
    disconnect: (source: string, target: string) => void;
    remove: (names: string[]) => void;
    /** `after`: the node that it was dropped on. */
    add: (fields: Record<string, unknown>, after: string | null) => void;
  };
  isOld?: boolean;
}

const NONE: ReadonlySet<string> = new Set();
const NO_FAULTS: ReadonlyMap<string, number> = new Map();

/** As it was drawn last. React Flow draws again what is another object, so what has not changed stays the same one. */
const LAST = new WeakMap<DagNode, Shown>();

function kept(shown: Shown): Shown {
  const { node, faults, difference } = shown.data;
  const last = LAST.get(node);
  const isSame = last?.position === shown.position && last.selected === shown.selected && last.data.faults === faults && last.data.difference === difference;
  if (isSame) return last;
  LAST.set(node, shown);
  return shown;
}

/** The DAG as a picture. Where the nodes stand follows from what they wait for. */
export function Canvas({ definition, chosen = NONE, faults = NO_FAULTS, differences, acts, isOld = false }: CanvasProps) {
  const t = useTexts(editorTexts);
  const [line, setLine] = useState<string | null>(null);
  const { nodes } = definition;
  const edges = useMemo(() => edgesOf({ nodes }), [nodes]);
  const names = useMemo(() => nodes.map((node) => node.name), [nodes]);
  const key = useMemo(() => JSON.stringify([names, edges.map(({ source, target }) => [source, target])]), [names, edges]);
  const { places, isReady } = usePlaces(key, names, edges);
  const shown = useMemo(
    () =>
      places === null
        ? []
        : nodes.flatMap((node): Shown[] => {
            const position = places[node.name];
            if (position === undefined) return []; // until it is known where
            const data = { node, faults: faults.get(`node:${node.name}`) ?? 0, difference: differences?.get(node.name) ?? null };
            return [kept({ id: node.name, type: "edit", position, ...boxOf(NODE), selected: chosen.has(`node:${node.name}`), data })];
          }),
    [places, nodes, chosen, faults, differences],
  );
  const lines = useMemo(
    () =>
      edges.flatMap(({ source, target, isNamed }): Edge[] => {
        if (places?.[source] === undefined || places[target] === undefined) return [];
        const id = `${source}\n${target}`;
        return [{ id, source, target, className: `editor-edge${isNamed ? "" : " editor-edge-used"}${id === line ? " editor-edge-chosen" : ""}` }];
      }),
    [places, edges, line],
  );
  if (nodes.length > 0 && places === null) return <p className="editor-canvas editor-wait">{t.drawing}</p>;

  const changed = (changes: NodeChange<Shown>[]) => {
    const picks = changes.filter((change) => change.type === "select");
    if (picks.length === 0 || acts === undefined) return;
    const next = new Set([...chosen].filter((id) => id.startsWith("node:")));
    for (const { id, selected } of picks) {
      if (selected) next.add(`node:${id}`);
      else next.delete(`node:${id}`);
    }
    setLine(null);
    acts.choose(next);
  };
  const connected = ({ source, target }: Connection) => acts?.connect(source, target);
  const dropped = (event: DragEvent, under: string | null) => {
    const carried = event.dataTransfer.getData(DRAGGED);
    if (carried === "" || acts === undefined) return;
    event.preventDefault();
    acts.add(JSON.parse(carried) as Record<string, unknown>, under);
  };
  const pressed = (event: KeyboardEvent<HTMLElement>) => {
    if (acts === undefined || (event.key !== "Delete" && event.key !== "Backspace")) return;
    event.preventDefault();
    // What has the focus may be taken out, and the next key is to come here.
    event.currentTarget.focus();
    const [source, target] = line?.split("\n") ?? [];
    if (source !== undefined && target !== undefined) {
      acts.disconnect(source, target);
      setLine(null);
    } else acts.remove([...chosen].filter((id) => id.startsWith("node:")).map((id) => id.slice(5)));
  };
  return (
    // The outline does by keyboard all that is done here by hand.
    <div
      className={`editor-canvas graph${isOld ? " editor-canvas-old" : ""}`}
      tabIndex={-1}
      onDragOver={(event) => {
        if (acts !== undefined) event.preventDefault();
      }}
      onKeyDown={pressed}
    >
      <Graph
        nodes={shown}
        edges={lines}
        texts={t}
        fitted={isReady ? key : null}
        farClass={farClass}
        pick={acts === undefined ? undefined : (name) => acts.choose(new Set([`node:${name}`]))}
        pickAll={acts === undefined ? undefined : (found) => acts.choose(new Set(found.map((name) => `node:${name}`)))}
        dropped={dropped}
        nodeTypes={NODE_TYPES}
        onNodesChange={changed}
        onConnect={connected}
        isValidConnection={({ source, target }) => source !== target}
        onEdgeClick={(event, edge) => {
          setLine(edge.id);
          (event.target as Element).closest<HTMLElement>(".editor-canvas")?.focus();
        }}
        onPaneClick={() => setLine(null)}
        nodesConnectable={acts !== undefined}
        elementsSelectable={acts !== undefined}
        deleteKeyCode={null}
      />
      {nodes.length === 0 && acts !== undefined && <p className="editor-canvas-empty">{t.emptyCanvas}</p>}
    </div>
  );
}

function EditNode({ data: { node, faults, difference }, selected, isConnectable }: NodeProps<Shown>) {
  const t = useTexts(editorTexts);
  const format = useFormat();
  const notes = [...(node.fields.for_each === undefined ? [] : [t.fanOut]), ...(node.fields.when === undefined ? [] : [t.conditional])];
  return (
    <>
      <Handle type="target" position={Position.Left} isConnectable={isConnectable} />
      <button type="button" className={`graph-node nopan${difference === null ? "" : ` editor-node-${difference}`}${faults > 0 ? " editor-node-bad" : ""}`} aria-pressed={selected} title={node.name}>
        <span className="editor-node-name">
          <span className="graph-node-name">{node.name}</span>
          {faults > 0 && <span className="editor-badge">{t.faults(format.number(faults))}</span>}
          {difference !== null && difference !== "same" && <span className="editor-badge">{t[difference]}</span>}
        </span>
        <span className="editor-node-more">{[node.does || (node.kind === null ? t.unclear : t[node.kind]), ...notes].join(" · ")}</span>
      </button>
      <Handle type="source" position={Position.Right} isConnectable={isConnectable} />
    </>
  );
}

const FAR: Record<Difference, string> = { added: "graph-far-good", removed: "graph-far-bad", changed: "graph-far-warn", same: "" };

function farClass({ data: { faults, difference }, selected }: Shown): string {
  return [faults > 0 ? FAR.removed : difference === null ? "" : FAR[difference], selected === true ? "graph-far-chosen" : ""].join(" ").trim();
}

const NODE_TYPES = { edit: memo(EditNode) };
