import { useState } from "react";
import { Button } from "../../../components/Button";
import { useTexts } from "../../../i18n/catalogue";
import { useFormat } from "../../../i18n/format";
import type { Known } from "../model/completion";
import { inText } from "../model/completion";
import type { Definition } from "../model/definition";
import { type Edit, IDENTIFIER } from "../model/edit";
import { editorTexts } from "../texts";
import { Entry } from "./Entry";
import { Members } from "./Members";
import { NodeForm } from "./NodeForm";
import { ParameterForm } from "./ParameterForm";
import { numberOf, shownNumber } from "./values";

interface PanelProps {
  chosen: ReadonlySet<string>;
  definition: Definition;
  known: Known;
  edit: (edit: Edit) => void;
  rename: (name: string, to: string) => void;
  choose: (ids: ReadonlySet<string>) => void;
  remove: () => void;
}

/** What is chosen in the outline or on the canvas, to be edited. */
export function Panel({ chosen, definition, known, edit, rename, choose, remove }: PanelProps) {
  const t = useTexts(editorTexts);
  const format = useFormat();
  const names = [...chosen].filter((id) => id.startsWith("node:")).map((id) => id.slice(5));
  const [id] = chosen.size === 1 ? chosen : ["dag"];
  const node = definition.nodes.find((one) => `node:${one.name}` === id);
  const parameter = definition.params.find((one) => `param:${one.name}` === id);
  if (names.length > 1) {
    return (
      <>
        <header className="editor-panel-head">
          <h2 id="editor-panel-title">{t.several(format.number(names.length))}</h2>
          <div className="editor-buttons">
            <Button onPress={() => names.slice(1).forEach((target, at) => edit({ is: "connect", source: names[at] ?? "", target }))}>{t.chain}</Button>
            <Button weight="danger" onPress={remove}>
              {t.remove}
            </Button>
          </div>
        </header>
        <p>{names.join(", ")}</p>
      </>
    );
  }
  if (node !== undefined) return <NodeForm key={node.name} node={node} definition={definition} known={known} edit={edit} rename={rename} remove={remove} />;
  if (parameter !== undefined) return <ParameterForm key={parameter.name} parameter={parameter} edit={edit} remove={remove} />;
  if (id === "params") return <ParametersForm definition={definition} edit={edit} choose={choose} />;
  if (id === "outputs") {
    return (
      <>
        <h2 id="editor-panel-title">{t.outputs}</h2>
        <Members
          title={t.outputsHelp}
          values={definition.outputs}
          own={Object.keys(definition.outputs)}
          suggest={(before) => inText(before, definition, undefined)}
          set={(name, value) => edit({ is: "set", place: ["outputs", name], value })}
          takeOut={(name) => edit({ is: "set", place: ["outputs", name] })}
        />
      </>
    );
  }
  return <WholeForm definition={definition} edit={edit} />;
}

function ParametersForm({ definition, edit, choose }: Pick<PanelProps, "definition" | "edit" | "choose">) {
  const t = useTexts(editorTexts);
  const [added, setAdded] = useState(0);
  return (
    <>
      <h2 id="editor-panel-title">{t.params}</h2>
      <div className="editor-fields">
        <Entry
          key={added}
          label={t.addParameter}
          value=""
          commit={(name) => {
            if (name === "") return null;
            if (!IDENTIFIER.test(name)) return t.notName;
            if (definition.params.some((one) => one.name === name)) return t.taken;
            edit({ is: "set", place: ["params", name], value: { type: "string" } });
            choose(new Set([`param:${name}`]));
            setAdded(added + 1);
            return null;
          }}
        />
      </div>
    </>
  );
}

function WholeForm({ definition, edit }: Pick<PanelProps, "definition" | "edit">) {
  const t = useTexts(editorTexts);
  const { fields } = definition;
  const entry = (label: string, field: string, isNumber: boolean) => {
    const value = fields[field];
    const shown = typeof value === "string" ? value : shownNumber(value);
    return (
      <Entry
        key={`${field} ${shown}`}
        label={label}
        value={shown}
        isNumber={isNumber}
        commit={(typed) => {
          const wanted = isNumber ? numberOf(typed) : typed;
          if (typed !== "" && wanted === null) return t.notNumber;
          edit({ is: "set", place: [field], ...(typed === "" ? {} : { value: wanted }) });
          return null;
        }}
      />
    );
  };
  return (
    <>
      <h2 id="editor-panel-title">{t.whole}</h2>
      <div className="editor-fields">
        {entry(t.description, "description", false)}
        {entry(t.maxParallel, "max_parallel", true)}
        {entry(t.deadline, "deadline_seconds", true)}
        {entry(t.compensation, "compensation_seconds", true)}
      </div>
    </>
  );
}
