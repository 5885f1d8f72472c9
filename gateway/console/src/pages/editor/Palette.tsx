import { useState } from "react";
import { useTexts } from "../../i18n/catalogue";
import { Field } from "../../components/Field";
import { editorTexts } from "./texts";

/** What is dragged from here onto the canvas. */
export const DRAGGED = "application/x-taskgate-node";

interface PaletteProps {
  types: readonly string[];
  dags: readonly string[];
  add: (fields: Record<string, unknown>) => void;
}

/** What a node can be. A press adds it behind what is chosen, a drag puts it where it is dropped. */
export function Palette({ types, dags, add }: PaletteProps) {
  const t = useTexts(editorTexts);
  const [filter, setFilter] = useState("");
  const all: [string, string, Record<string, unknown>][] = [
    ...types.map((type): [string, string, Record<string, unknown>] => [t.type, type, { type }]),
    [t.gate, t.approval, { approval: { message: t.approvalMessage } }],
    [t.gate, t.signal, { signal: { name: "go" } }],
    ...dags.map((dag): [string, string, Record<string, unknown>] => [t.dag, dag, { dag }]),
  ];
  const found = all.filter(([, name]) => name.toLowerCase().includes(filter.trim().toLowerCase()));
  return (
    <section className="editor-palette" aria-label={t.palette}>
      <Field label={t.paletteFind} value={filter} onChange={setFilter} />
      <ul>
        {found.map(([kind, name, fields]) => (
          <li key={`${kind} ${name}`}>
            <button
              type="button"
              draggable
              className="editor-chip"
              aria-label={t.addNode(name)}
              onClick={() => add(fields)}
              onDragStart={(event) => event.dataTransfer.setData(DRAGGED, JSON.stringify(fields))}
            >
              <span>{name}</span> <span className="editor-chip-kind">{kind}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
