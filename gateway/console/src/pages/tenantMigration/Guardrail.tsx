import { useQuery } from "@tanstack/react-query";
import { api, dataOf } from "../../api/client";
import type { components } from "../../api/schema";
import { Failure } from "../../components/Failure";
import { Status, type Tone } from "../../components/Status";
import { useTexts } from "../../i18n/catalogue";
import { useReadAgain } from "../../streams/useReadAgain";
import { useStream } from "../../streams/useStream";
import { tenantMigrationTexts } from "./texts";

type Phase = components["schemas"]["GuardrailView"]["phase"];

const TONES: Record<Phase, Tone> = { resting: "quiet", armed: "busy", rolled_back: "bad", cooling: "warn", locked: "bad" };

/** What watches the tenant, and what it holds against a move. */
export function Guardrail({ tenantId }: { tenantId: string }) {
  const t = useTexts(tenantMigrationTexts);
  const queryKey = ["guardrail", tenantId];
  const found = useQuery({
    queryKey,
    gcTime: 0,
    queryFn: ({ signal }) => dataOf(api.GET("/gateway/v1/migration/guardrails", { params: { query: { tenant_id: tenantId } }, signal })),
  });
  useStream("gateway/v1/migration/stages/stream", useReadAgain(queryKey));
  const rail = found.data?.guardrails.find((one) => one.tenant_id === tenantId);
  return (
    <section className="tenant-part" aria-labelledby="guardrail">
      <h2 id="guardrail">
        {t.guardrail} {rail !== undefined && <Status tone={TONES[rail.phase]}>{t[rail.phase]}</Status>}
      </h2>
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {rail !== undefined && (
        <>
          <p>{t.backTo(rail.redis_stage)}</p>
          {[...rail.holds, ...rail.notes].map((line) => (
            <p key={line}>{line}</p>
          ))}
        </>
      )}
    </section>
  );
}
