import { useState } from "react";
import { api } from "../../api/client";
import type { components } from "../../api/schema";
import { Confirm } from "../../components/Confirm";
import { Field } from "../../components/Field";
import { Moment } from "../../components/Moment";
import { Table } from "../../components/Table";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { limitOf } from "./numbers";
import { tenantTexts } from "./texts";

type QuotaUse = components["schemas"]["QuotaUse"];

const KINDS = ["queued", "running", "per_minute", "bytes_per_day"] as const;
type Kind = (typeof KINDS)[number];
const NO_LIMITS: Record<Kind, string> = { queued: "", running: "", per_minute: "", bytes_per_day: "" };

interface QuotasProps {
  tenantId: string;
  quotas: readonly QuotaUse[];
  isChanging: boolean;
  done: () => void;
}

/** What the tenant and its projects may have, and what they have. */
export function Quotas({ tenantId, quotas, isChanging, done }: QuotasProps) {
  const t = useTexts(tenantTexts);
  return (
    <section className="part" aria-labelledby="tenant-quotas">
      <div className="page-head">
        <h2 id="tenant-quotas">{t.quotas}</h2>
        {isChanging && <SetQuota tenantId={tenantId} quota={null} done={done} />}
      </div>
      {quotas.length === 0 ? (
        <p>{t.noQuotas}</p>
      ) : (
        <>
          <p className="part-help">{t.quotasHelp}</p>
          <Table columns={[t.of, ...KINDS.map((kind) => t[kind]), t.setBy, ...(isChanging ? [t.actions] : [])]} label={t.quotas}>
            {quotas.map((quota) => (
              <Quota key={quota.project_id ?? ""} tenantId={tenantId} quota={quota} isChanging={isChanging} done={done} />
            ))}
          </Table>
        </>
      )}
    </section>
  );
}

function Quota({ tenantId, quota, isChanging, done }: { tenantId: string; quota: QuotaUse; isChanging: boolean; done: () => void }) {
  const t = useTexts(tenantTexts);
  const of = quota.project_id ?? t.whole;
  const remove = async (why: string) => {
    await api.DELETE("/gateway/v1/tenants/{tenant_id}/quotas", {
      params: {
        path: { tenant_id: tenantId },
        query: { ...(quota.project_id === null ? {} : { project_id: quota.project_id }), ...(why === "" ? {} : { why }) },
      },
    });
    done();
  };
  return (
    <tr>
      <th scope="row">{of}</th>
      {KINDS.map((kind) => (
        <td key={kind}>
          <Use used={quota.used[kind] ?? 0} limit={quota.limits[kind]} label={t.usedOf(t[kind], of)} />
        </td>
      ))}
      <td>
        <Moment at={quota.set_at} /> {t.by(quota.set_by)}
        {quota.why !== null && (
          <p className="part-help" dir="auto">
            {visible(quota.why)}
          </p>
        )}
      </td>
      {isChanging && (
        <td>
          <div className="page-head-actions">
            <SetQuota tenantId={tenantId} quota={quota} done={done} />
            <Confirm label={t.clear} about={of} ask={t.clearAsk(of)} leave={t.leave} why={t.why} confirm={remove}>
              <p>{t.clearHelp}</p>
            </Confirm>
          </div>
        </td>
      )}
    </tr>
  );
}

function Use({ used, limit, label }: { used: number; limit: number | null; label: string }) {
  const t = useTexts(tenantTexts);
  const format = useFormat();
  if (limit === null) return <>{t.unlimited(format.number(used))}</>;
  return (
    <span className={used >= limit ? "quota quota-full" : "quota"}>
      <progress aria-label={label} max={Math.max(1, limit)} value={limit === 0 ? 1 : Math.min(used, limit)} /> {t.used(format.number(used), format.number(limit))}
    </span>
  );
}

/** `quota`: the one to be changed; null: another one. */
function SetQuota({ tenantId, quota, done }: { tenantId: string; quota: QuotaUse | null; done: () => void }) {
  const t = useTexts(tenantTexts);
  const [project, setProject] = useState("");
  const [limits, setLimits] = useState(NO_LIMITS);
  const help: Record<Kind, string> = { queued: t.queuedHelp, running: t.runningHelp, per_minute: t.perMinuteHelp, bytes_per_day: t.bytesHelp };
  const wanted = KINDS.map((kind) => [kind, limitOf(limits[kind])] as const);
  const isReady = wanted.every(([, limit]) => limit !== undefined) && wanted.some(([, limit]) => limit !== null);
  const projectId = quota === null ? project.trim() : (quota.project_id ?? "");
  const send = async (why: string) => {
    await api.PUT("/gateway/v1/tenants/{tenant_id}/quotas", {
      params: { path: { tenant_id: tenantId }, query: projectId === "" ? {} : { project_id: projectId } },
      body: { ...(Object.fromEntries(wanted) as Record<Kind, number | null>), why: why || null },
    });
    done();
  };
  return (
    <Confirm
      label={quota === null ? t.set : t.edit}
      {...(quota === null ? {} : { about: quota.project_id ?? t.whole })}
      ask={t.set}
      leave={t.leave}
      weight="plain"
      isReady={isReady}
      why={t.why}
      hasFields
      opened={() => {
        setProject("");
        setLimits(quota === null ? NO_LIMITS : (Object.fromEntries(KINDS.map((kind) => [kind, quota.limits[kind]?.toString() ?? ""])) as Record<Kind, string>));
      }}
      confirm={send}
    >
      {quota === null && <Field label={t.project} help={t.projectHelp} value={project} onChange={setProject} maxLength={255} autoFocus />}
      {KINDS.map((kind, place) => (
        <Field
          key={kind}
          label={t[kind]}
          help={help[kind]}
          value={limits[kind]}
          onChange={(text) => setLimits({ ...limits, [kind]: text })}
          inputMode="numeric"
          error={limitOf(limits[kind]) === undefined ? t.limitWrong : undefined}
          autoFocus={quota !== null && place === 0}
        />
      ))}
    </Confirm>
  );
}
