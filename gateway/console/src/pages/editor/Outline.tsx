import type { KeyboardEvent } from "react";
import { type Key, ListLayout, type Selection, Tree, TreeItem, TreeItemContent, Virtualizer } from "react-aria-components";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import type { Definition } from "./model/definition";
import { editorTexts } from "./texts";

interface OutlineProps {
  definition: Definition;
  faults: ReadonlyMap<string, number>;
  chosen: ReadonlySet<string>;
  choose: (ids: ReadonlySet<string>) => void;
  /** Enter: what is chosen is to be edited. */
  open: () => void;
  remove: () => void;
}

const ROW = { rowHeight: 26 };
const OPENED: Key[] = ["params", "nodes"];

/** Everything that is in the DAG, by keyboard: arrows move, Space and Ctrl choose, Enter edits, Delete takes out. */
export function Outline({ definition, faults, chosen, choose, open, remove }: OutlineProps) {
  const t = useTexts(editorTexts);
  const format = useFormat();
  const rowOf = (id: string, name: string, more: string, children?: readonly { id: string; name: string; more: string }[]) => {
    const count = faults.get(id) ?? 0;
    const told = [name, more, ...(count > 0 ? [t.faults(format.number(count))] : [])].filter((text) => text !== "").join(", ");
    return (
      <TreeItem key={id} id={id} textValue={told} className="editor-row">
        <TreeItemContent>
          {/* A long name is cut at the edge of the outline. */}
          <span className="editor-row-text" title={told}>
            <span className="editor-row-name">{visible(name)}</span> <span className="editor-row-more">{visible(more)}</span>
            {count > 0 && <span className="editor-badge">{t.faults(format.number(count))}</span>}
          </span>
        </TreeItemContent>
        {children?.map((child) => rowOf(child.id, child.name, child.more))}
      </TreeItem>
    );
  };
  const pressed = (event: KeyboardEvent) => {
    if (event.key !== "Delete" && event.key !== "Backspace") return;
    event.preventDefault();
    remove();
  };
  return (
    <div className="editor-outline" onKeyDown={pressed}>
      <Virtualizer layout={ListLayout} layoutOptions={ROW}>
        <Tree
          className="editor-tree"
          aria-label={t.outline}
          selectionMode="multiple"
          selectionBehavior="replace"
          selectedKeys={chosen}
          onSelectionChange={(keys: Selection) => choose(keys === "all" ? new Set(definition.nodes.map((node) => `node:${node.name}`)) : new Set([...keys].map(String)))}
          onAction={open}
          defaultExpandedKeys={OPENED}
        >
          {rowOf("dag", t.whole, definition.name ?? "")}
          {rowOf(
            "params",
            t.params,
            format.number(definition.params.length),
            definition.params.map(({ name, fields }) => ({ id: `param:${name}`, name, more: typeof fields.type === "string" ? fields.type : "any" })),
          )}
          {rowOf(
            "nodes",
            t.nodes,
            format.number(definition.nodes.length),
            definition.nodes.map((node) => ({ id: `node:${node.name}`, name: node.name, more: node.does })),
          )}
          {rowOf("outputs", t.outputs, format.number(Object.keys(definition.outputs).length))}
        </Tree>
      </Virtualizer>
    </div>
  );
}
