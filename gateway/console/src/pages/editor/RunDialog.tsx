import { useNavigate } from "@tanstack/react-router";
import { type SyntheticEvent, useMemo, useState } from "react";
import { Dialog, DialogTrigger, Heading, Modal, ModalOverlay } from "react-aria-components";
import { api, dataOf } from "../../api/client";
import { jsonText } from "../../api/json";
import type { components } from "../../api/schema";
import { useSession } from "../../api/session";
import { Button } from "../../components/Button";
import { Failure } from "../../components/Failure";
import { Field } from "../../components/Field";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { understood, written } from "./panel/values";
import { readDefinition } from "./model/definition";
import type { Place, Saved } from "./saved";
import { editorTexts } from "./texts";

type RunPreview = components["schemas"]["RunPreview"];

/** Runs a saved version: the dry run first, then the run with just what was checked. */
export function RunDialog({ place, current, isChanged }: { place: Place; current: Saved; isChanged: boolean }) {
  const t = useTexts(editorTexts);
  const format = useFormat();
  const navigate = useNavigate();
  const session = useSession();
  const [values, setValues] = useState<Record<string, string>>({});
  const [project, setProject] = useState(session.only_project ?? "");
  const [preview, setPreview] = useState<RunPreview | null>(null);
  const [faults, setFaults] = useState<Record<string, string>>({});
  const [error, setError] = useState<unknown>(null);
  const [isOpen, setOpen] = useState(false);
  // A long text takes a while to read.
  const params = useMemo(() => (isOpen ? readDefinition(current.text).params : []), [isOpen, current.text]);

  /** Null: some value is no YAML. */
  const given = (): Record<string, unknown> | null => {
    const wrong: Record<string, string> = {};
    const found: Record<string, unknown> = {};
    for (const { name, fields } of params) {
      const text = values[name] ?? "";
      if (text.trim() === "") continue;
      const value = fields.type === "string" ? { value: text } : understood(text);
      if (value === null) wrong[name] = t.notYaml;
      else found[name] = value.value;
    }
    setFaults(wrong);
    return Object.keys(wrong).length > 0 ? null : found;
  };
  const send = async (event: SyntheticEvent, close: () => void) => {
    event.preventDefault();
    setError(null);
    const chosen = given();
    if (chosen === null) return;
    const body = {
      dag: place.name,
      version: current.version,
      params: chosen as Record<string, never>,
      priority: 3,
      labels: {},
      ...(project.trim() === "" ? {} : { project_id: project.trim() }),
      ...(place.tenant === null ? {} : { tenant_id: place.tenant }),
    };
    try {
      if (preview === null) {
        setPreview(await dataOf(api.POST("/gateway/v1/dag-runs/preview", { body })));
        return;
      }
      const run = await dataOf(api.POST("/gateway/v1/dag-runs", { body }));
      close();
      await navigate({ to: "/dag-runs/$runId", params: { runId: run.run_id } });
    } catch (problem) {
      setPreview(null);
      setError(problem);
    }
  };

  return (
    <DialogTrigger
      onOpenChange={(now) => {
        setOpen(now);
        setPreview(null);
        setError(null);
      }}
    >
      <Button>{t.run}</Button>
      <ModalOverlay className="overlay" isDismissable>
        <Modal>
          <Dialog className="dialog">
            {({ close }) => (
              <form className="part-form" noValidate onSubmit={(event) => void send(event, close)}>
                <Heading slot="title">{t.runTitle(place.name, format.number(current.version))}</Heading>
                {isChanged && <p className="editor-note">{t.runSaved(format.number(current.version))}</p>}
                {params.map(({ name, fields }, at) => (
                  <Field
                    key={name}
                    label={name}
                    help={[typeof fields.type === "string" ? fields.type : "any", ...(fields.default === undefined ? [] : [t.defaultIs(written(fields.default))])].join(", ")}
                    value={values[name] ?? ""}
                    autoFocus={at === 0}
                    error={faults[name]}
                    onChange={(text) => {
                      setPreview(null);
                      setValues({ ...values, [name]: text });
                    }}
                  />
                ))}
                <Field
                  label={t.project}
                  value={project}
                  onChange={(text) => {
                    setPreview(null);
                    setProject(text);
                  }}
                />
                {error !== null && <Failure error={error} />}
                {preview !== null && (
                  <div className="editor-note" role="status">
                    <p>{t.previewed(format.number(preview.nodes))}</p>
                    <pre className="part-text">{jsonText(preview.params, 2)}</pre>
                  </div>
                )}
                <div className="dialog-actions">
                  <Button onPress={close}>{t.leave}</Button>
                  <Button type="submit" weight="primary">
                    {preview === null ? t.dryRun : t.runNow}
                  </Button>
                </div>
              </form>
            )}
          </Dialog>
        </Modal>
      </ModalOverlay>
    </DialogTrigger>
  );
}
