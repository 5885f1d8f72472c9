import { Button } from "../../../components/Button";
import { useTexts } from "../../../i18n/catalogue";
import { useFormat } from "../../../i18n/format";
import { type DagNode, type Definition, isRecord } from "../model/definition";
import { type Edit, IDENTIFIER } from "../model/edit";
import { type Known, inExpression, inText } from "../model/completion";
import { CodeField } from "../text/CodeField";
import { editorTexts } from "../texts";
import { Choice, Entry } from "./Entry";
import { Members } from "./Members";
import { numberOf, shownNumber } from "./values";

interface NodeFormProps {
  node: DagNode;
  definition: Definition;
  known: Known;
  edit: (edit: Edit) => void;
  rename: (name: string, to: string) => void;
  remove: () => void;
}

/** All that can be said of a node. What is left empty is not in the text. */
export function NodeForm({ node, definition, known, edit, rename, remove }: NodeFormProps) {
  const t = useTexts(editorTexts);
  const format = useFormat();
  const { name, fields, kind } = node;
  const set = (place: readonly string[], value: unknown) => edit({ is: "set", place: ["nodes", name, ...place], ...(value === undefined ? {} : { value }) });
  const expressions = (before: string) => inExpression(before, definition, node);
  const texts = (before: string) => inText(before, definition, node);

  const at = (place: readonly string[]): unknown => place.reduce<unknown>((value, key) => (isRecord(value) ? value[key] : undefined), fields);
  const text = (label: string, place: readonly string[], offered?: readonly string[]) => {
    const value = at(place);
    const shown = typeof value === "string" ? value : "";
    return (
      <Entry
        key={`${place.join()} ${shown}`}
        label={label}
        value={shown}
        {...(offered === undefined ? {} : { offered })}
        commit={(typed) => {
          set(place, typed === "" ? undefined : typed);
          return null;
        }}
      />
    );
  };
  const number = (label: string, place: readonly string[]) => {
    const shown = shownNumber(at(place));
    return (
      <Entry
        key={`${place.join()} ${shown}`}
        label={label}
        value={shown}
        isNumber
        commit={(typed) => {
          const value = numberOf(typed);
          if (typed !== "" && value === null) return t.notNumber;
          set(place, value ?? undefined);
          return null;
        }}
      />
    );
  };
  const expression = (label: string, field: string) => {
    const value = fields[field];
    const shown = typeof value === "string" ? value : "";
    return <CodeField key={`${field} ${shown}`} label={label} value={shown} suggest={expressions} commit={(typed) => set([field], typed.trim() === "" ? undefined : typed.trim())} />;
  };
  const choice = (label: string, field: string, first: string, values: readonly string[]) => {
    const value = fields[field];
    return (
      <Choice
        label={label}
        value={typeof value === "string" || typeof value === "number" ? String(value) : ""}
        choices={[["", first], ...values.map((one) => [one, one] as const)]}
        commit={(picked) => set([field], picked === "" ? undefined : field === "priority" ? Number(picked) : picked)}
      />
    );
  };
  const others = definition.nodes.filter((other) => other !== node && !node.needs.includes(other.name)).map((other) => other.name);
  const undone = isRecord(fields.compensate) ? fields.compensate : {};
  const undoneInput = isRecord(undone.input) ? undone.input : {};
  return (
    <>
      <header className="editor-panel-head">
        <h2 id="editor-panel-title">{name}</h2>
        <Button weight="danger" onPress={remove}>
          {t.remove}
        </Button>
      </header>
      <div className="editor-fields">
        <Entry
          key={`name ${name}`}
          label={t.name}
          value={name}
          commit={(typed) => {
            if (!IDENTIFIER.test(typed)) return t.notName;
            if (definition.nodes.some((other) => other.name === typed)) return t.taken;
            rename(name, typed);
            return null;
          }}
        />
        {(kind === "type" || kind === null) && text(t.type, ["type"], known.types)}
        {kind === "dag" && text(t.dag, ["dag"], known.dags)}
        {kind === "approval" && text(t.message, ["approval", "message"])}
        {kind === "approval" && number(t.timeout, ["approval", "timeout_seconds"])}
        {kind === "signal" && text(t.signalName, ["signal", "name"])}
        {kind === "signal" && number(t.timeout, ["signal", "timeout_seconds"])}
        {text(t.description, ["description"])}
        {expression(t.when, "when")}
        {choice(t.ifSkipped, "if_skipped", t.default, ["auto", "run", "skip"])}
        {expression(t.forEach, "for_each")}
        {fields.for_each !== undefined && number(t.maxParallel, ["max_parallel"])}
        {kind === "type" && number(t.timeout, ["timeout_seconds"])}
        {choice(t.priority, "priority", t.default, ["1", "2", "3", "4", "5"])}
        {choice(t.onFailure, "on_failure", t.default, ["fail", "continue", "compensate"])}
        {kind === "type" && number(t.attempts, ["retry", "attempts"])}
        {kind === "type" && number(t.initial, ["retry", "initial_seconds"])}
        {kind === "type" && number(t.coefficient, ["retry", "coefficient"])}
        {kind === "type" && number(t.maximum, ["retry", "maximum_seconds"])}
        {kind === "type" && text(t.compensate, ["compensate", "type"], known.types)}
      </div>
      <div className="editor-columns">
        <fieldset className="editor-members">
          <legend>{t.needs}</legend>
          <ul className="editor-needs">
            {node.needs.map((source) => (
              <li key={source}>
                <span>{source}</span>
                <Button weight="bare" aria-label={t.disconnect(source)} onPress={() => edit({ is: "disconnect", source, target: name })}>
                  ✕
                </Button>
              </li>
            ))}
            {node.uses.map((source) => (
              <li key={source}>
                <span>{source}</span> <span className="editor-taken">{t.byExpression}</span>
              </li>
            ))}
            {node.needs.length + node.uses.length === 0 && <li className="editor-taken">{t.needsNone}</li>}
          </ul>
          <Entry
            key={`connect ${node.needs.join()}`}
            label={t.connect}
            value=""
            offered={others.slice(0, 500)}
            commit={(source) => {
              if (source === "") return null;
              if (!others.includes(source)) return t.noSuchNode(format.number(others.length));
              edit({ is: "connect", source, target: name });
              return null;
            }}
          />
        </fieldset>
        {(kind === "type" || kind === "dag") && (
          <Members
            title={t.input}
            values={isRecord(fields.input) ? fields.input : {}}
            own={node.ownInput}
            suggest={texts}
            set={(key, value) => set(["input", key], value)}
            takeOut={(key) => set(["input", key], undefined)}
          />
        )}
        {typeof undone.type === "string" && (
          <Members
            title={t.compensateInput}
            values={undoneInput}
            own={Object.keys(undoneInput)}
            suggest={texts}
            set={(key, value) => set(["compensate", "input", key], value)}
            takeOut={(key) => set(["compensate", "input", key], undefined)}
          />
        )}
      </div>
    </>
  );
}
