import { Button } from "../../../components/Button";
import { useTexts } from "../../../i18n/catalogue";
import type { DagParameter } from "../model/definition";
import type { Edit } from "../model/edit";
import { editorTexts } from "../texts";
import { Choice, Entry } from "./Entry";
import { understood, written } from "./values";

const TYPES = ["any", "string", "integer", "number", "boolean", "list", "object"];

export function ParameterForm({ parameter: { name, fields }, edit, remove }: { parameter: DagParameter; edit: (edit: Edit) => void; remove: () => void }) {
  const t = useTexts(editorTexts);
  const set = (field: string, value: unknown) => edit({ is: "set", place: ["params", name, field], ...(value === undefined ? {} : { value }) });
  const description = typeof fields.description === "string" ? fields.description : "";
  const preset = fields.default === undefined ? "" : written(fields.default);
  return (
    <>
      <header className="editor-panel-head">
        <h2 id="editor-panel-title">{name}</h2>
        <Button weight="danger" onPress={remove}>
          {t.remove}
        </Button>
      </header>
      <div className="editor-fields">
        <Choice label={t.valueType} value={typeof fields.type === "string" ? fields.type : "any"} choices={TYPES.map((one) => [one, one] as const)} commit={(value) => set("type", value)} />
        <Entry
          key={`default ${preset}`}
          label={t.default}
          value={preset}
          commit={(typed) => {
            const found = understood(typed);
            if (found === null) return t.notYaml;
            set("default", typed === "" ? undefined : found.value);
            return null;
          }}
        />
        <Choice
          label={t.required}
          value={fields.required === false ? "false" : "true"}
          choices={[
            ["true", t.yes],
            ["false", t.no],
          ]}
          commit={(value) => set("required", value === "false" ? false : undefined)}
        />
        <Entry
          key={`description ${description}`}
          label={t.description}
          value={description}
          commit={(typed) => {
            set("description", typed === "" ? undefined : typed);
            return null;
          }}
        />
      </div>
    </>
  );
}
