import { unifiedMergeView } from "@codemirror/merge";
import { yaml } from "@codemirror/lang-yaml";
import { EditorState } from "@codemirror/state";
import { EditorView, lineNumbers } from "@codemirror/view";
import { useMemo } from "react";
import { useTexts } from "../../i18n/catalogue";
import { Canvas, type Difference } from "./Canvas";
import { type DagNode, readDefinition } from "./model/definition";
import { isSame } from "./model/effect";
import { editorTexts } from "./texts";
import { useCode } from "./text/useCode";

interface Side {
  name: string;
  text: string;
}

/** What differs between two texts: as a picture, as a list, and line by line. */
export function Comparison({ before, after }: { before: Side; after: Side }) {
  const t = useTexts(editorTexts);
  const { nodes, differences } = useMemo(() => compared(before.text, after.text), [before.text, after.text]);
  const changed = nodes.filter((node) => differences.get(node.name) !== "same");
  return (
    <>
      <p>{t.compared(before.name, after.name)}</p>
      {changed.length === 0 ? (
        <p>{t.sameNodes}</p>
      ) : (
        <ul className="editor-differences">
          {changed.map((node) => (
            <li key={node.name}>
              <span className={`editor-mark editor-mark-${differences.get(node.name) ?? "same"}`}>{t[differences.get(node.name) ?? "same"]}</span> {node.name}
            </li>
          ))}
        </ul>
      )}
      <Canvas definition={{ nodes }} differences={differences} />
      <Lines key={`${before.name}\n${after.name}\n${after.text}`} before={before.text} after={after.text} label={t.compared(before.name, after.name)} />
    </>
  );
}

/** The nodes of both, those that are gone as they were. */
export function compared(before: string, after: string): { nodes: DagNode[]; differences: ReadonlyMap<string, Difference> } {
  const old = new Map(readDefinition(before).nodes.map((node) => [node.name, node]));
  const now = readDefinition(after).nodes;
  const differences = new Map<string, Difference>();
  for (const node of now) {
    const was = old.get(node.name);
    differences.set(node.name, was === undefined ? "added" : isSame(was.fields, node.fields) ? "same" : "changed");
  }
  const gone = [...old.values()].filter((node) => !differences.has(node.name));
  for (const node of gone) differences.set(node.name, "removed");
  return { nodes: [...now, ...gone], differences };
}

function Lines({ before, after, label }: { before: string; after: string; label: string }) {
  const { host } = useCode(after, null, () => [
    lineNumbers(),
    yaml(),
    unifiedMergeView({ original: before, mergeControls: false, collapseUnchanged: { margin: 3, minSize: 6 } }),
    EditorState.readOnly.of(true),
    EditorView.contentAttributes.of({ "aria-label": label }),
  ]);
  return <div className="editor-lines" ref={host} />;
}
