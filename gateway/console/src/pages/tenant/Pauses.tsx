import { useState } from "react";
import { api } from "../../api/client";
import type { components } from "../../api/schema";
import { Confirm } from "../../components/Confirm";
import { Field } from "../../components/Field";
import { Moment } from "../../components/Moment";
import { Table } from "../../components/Table";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { tenantTexts } from "./texts";

type PauseView = components["schemas"]["PauseView"];

interface PausesProps {
  tenantId: string;
  pauses: readonly PauseView[];
  isChanging: boolean;
  done: () => void;
}

/** What holds tasks of the tenant back. */
export function Pauses({ tenantId, pauses, isChanging, done }: PausesProps) {
  const t = useTexts(tenantTexts);
  const nameOf = (pause: PauseView) =>
    [pause.tenant_id === null && pause.project_id === null ? t.everybody : (pause.project_id ?? t.everything), ...(pause.task_type === null ? [] : [pause.task_type])].join(", ");
  return (
    <section className="part" aria-labelledby="tenant-pauses">
      <div className="page-head">
        <h2 id="tenant-pauses">{t.pauses}</h2>
        {isChanging && <PauseTasks tenantId={tenantId} done={done} />}
      </div>
      {pauses.length === 0 ? (
        <p>{t.noPauses}</p>
      ) : (
        <Table columns={[t.what, t.why, t.setBy, ...(isChanging ? [t.actions] : [])]} label={t.pauses}>
          {pauses.map((pause) => (
            <tr key={pause.pause_id}>
              <th scope="row">{nameOf(pause)}</th>
              <td dir="auto">{visible(pause.why)}</td>
              <td>
                <Moment at={pause.set_at} /> {t.by(pause.set_by)}
              </td>
              {isChanging && (
                <td>
                  <Confirm
                    label={t.resume}
                    about={nameOf(pause)}
                    ask={t.resumeAsk(nameOf(pause))}
                    leave={t.leave}
                    weight="plain"
                    why={t.why}
                    confirm={async (why) => {
                      await api.DELETE("/gateway/v1/pauses/{pause_id}", { params: { path: { pause_id: pause.pause_id }, query: why === "" ? {} : { why } } });
                      done();
                    }}
                  >
                    <p>{t.resumeHelp}</p>
                  </Confirm>
                </td>
              )}
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}

function PauseTasks({ tenantId, done }: { tenantId: string; done: () => void }) {
  const t = useTexts(tenantTexts);
  const [project, setProject] = useState("");
  const [type, setType] = useState("");
  return (
    <Confirm
      label={t.pause}
      ask={t.pause}
      leave={t.leave}
      weight="plain"
      why={t.why}
      isWhyRequired
      hasFields
      opened={() => {
        setProject("");
        setType("");
      }}
      confirm={async (why) => {
        await api.POST("/gateway/v1/pauses", { body: { tenant_id: tenantId, project_id: project.trim() || null, task_type: type.trim() || null, why } });
        done();
      }}
    >
      <p>{t.pauseHelp}</p>
      <Field label={t.project} help={t.projectHelp} value={project} onChange={setProject} maxLength={255} autoFocus />
      <Field label={t.type} help={t.typeHelp} value={type} onChange={setType} maxLength={255} />
    </Confirm>
  );
}
