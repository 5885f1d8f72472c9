import { useState } from "react";
import { api } from "../../api/client";
import type { components } from "../../api/schema";
import { Choice } from "../../components/Choice";
import { Confirm } from "../../components/Confirm";
import { Field } from "../../components/Field";
import { useTexts } from "../../i18n/catalogue";
import { weightOf } from "./numbers";
import { tenantTexts } from "./texts";

type Tenant = components["schemas"]["TenantDetail"];

const TIERS = ["enterprise", "vip", "standard"] as const;

/** Asks for another tier or weight, and why. */
export function ChangeTenant({ tenant, done }: { tenant: Tenant; done: () => void }) {
  const t = useTexts(tenantTexts);
  const [tier, setTier] = useState(tenant.tier);
  const [weight, setWeight] = useState("");
  const wanted = weightOf(weight);
  const isChange = wanted !== undefined && (tier !== tenant.tier || wanted !== tenant.weight);
  const send = async (why: string) => {
    await api.PUT("/gateway/v1/tenants/{tenant_id}", {
      params: { path: { tenant_id: tenant.tenant_id } },
      body: {
        why: why || null,
        ...(tier === tenant.tier ? {} : { tier }),
        ...(wanted === undefined || wanted === tenant.weight ? {} : { weight: wanted }),
      },
    });
    done();
  };
  return (
    <Confirm
      label={t.change}
      ask={t.change}
      leave={t.leave}
      weight="plain"
      isReady={isChange}
      why={t.why}
      hasFields
      opened={() => {
        setTier(tenant.tier);
        setWeight(String(tenant.weight));
      }}
      confirm={send}
    >
      <p>{t.changeHelp}</p>
      <Choice label={t.tier} value={tier} options={TIERS.map((one) => [one, t[one]] as const)} onChange={setTier} autoFocus />
      <Field label={t.weight} help={t.weightHelp} value={weight} onChange={setWeight} inputMode="decimal" error={wanted === undefined && weight !== "" ? t.weightWrong : undefined} />
    </Confirm>
  );
}
