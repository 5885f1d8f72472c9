import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { api, dataOf } from "../../api/client";
import type { components } from "../../api/schema";
import { may, useSession } from "../../api/session";
import { Failure } from "../../components/Failure";
import { PageHead } from "../../components/PageHead";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { isNews } from "../../streams/isNews";
import { queryText } from "../../streams/queryText";
import { useAtMost } from "../../streams/useAtMost";
import { SOONEST, useNews } from "../../streams/useNews";
import { useReadAgain } from "../../streams/useReadAgain";
import { useStream } from "../../streams/useStream";
import { nameOfState } from "../tasks/states";
import { tasksTexts } from "../tasks/texts";
import { ChangeTenant } from "./ChangeTenant";
import { Pauses } from "./Pauses";
import { Quotas } from "./Quotas";
import { Secrets } from "./Secrets";
import { tenantTexts } from "./texts";
import "../../components/Part.css";
import "./tenant.css";

type Tenant = components["schemas"]["TenantDetail"];

/** What a quota of a minute has used grows less by time alone: until nothing is left of it, it is looked at so often (milliseconds). */
const REFRESH = 15_000;

/** One tenant: what it may do, what it does, and what holds it. */
export default function TenantPage() {
  const t = useTexts(tenantTexts);
  const format = useFormat();
  const session = useSession();
  const { tenantId }: { tenantId: string } = useParams({ strict: false });
  const key = ["tenant", tenantId];
  const found = useQuery<Tenant>({
    queryKey: key,
    gcTime: 0,
    refetchInterval: (query) => (query.state.data?.quotas.some((quota) => (quota.used.per_minute ?? 0) > 0) === true ? REFRESH : false),
    queryFn: ({ signal }) => dataOf(api.GET("/gateway/v1/tenants/{tenant_id}", { params: { path: { tenant_id: tenantId } }, signal })),
  });
  const again = useReadAgain(key);
  const readAgain = useAtMost(SOONEST, again);
  useNews(["pause", "quota", "tenant"], again, tenantId);
  useStream(
    `gateway/v1/tasks/stream?${queryText({ tenant_id: tenantId })}`,
    (event) => {
      if (isNews(event)) readAgain();
    },
    readAgain,
  );
  const tenant = found.data;
  const isChanging = may(session, "operate");
  return (
    <>
      <PageHead title={tenantId}>{tenant !== undefined && isChanging && <ChangeTenant tenant={tenant} done={again} />}</PageHead>
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {tenant !== undefined && (
        <>
          <Facts tenant={tenant} />
          <Tasks tenant={tenant} />
          <Quotas tenantId={tenantId} quotas={tenant.quotas} isChanging={isChanging} done={again} />
          <Pauses tenantId={tenantId} pauses={tenant.pauses} isChanging={isChanging} done={again} />
          {may(session, "secrets", { tenant_id: tenantId }) && <Secrets tenantId={tenantId} />}
          <p className="part-help">{t.figures(format.clock(new Date(found.dataUpdatedAt)))}</p>
        </>
      )}
    </>
  );
}

function Facts({ tenant }: { tenant: Tenant }) {
  const t = useTexts(tenantTexts);
  const format = useFormat();
  const session = useSession();
  return (
    <dl className="facts facts-wide">
      <div>
        <dt>{t.name}</dt>
        <dd dir="auto">{visible(tenant.name ?? "–")}</dd>
      </div>
      <div>
        <dt>{t.tier}</dt>
        <dd>{t[tenant.tier]}</dd>
      </div>
      <div>
        <dt>{t.weight}</dt>
        <dd>{format.number(tenant.weight)}</dd>
      </div>
      <div>
        <dt>{t.stage}</dt>
        <dd>
          {may(session, "observe") ? (
            <Link to="/migration/$tenantId" params={{ tenantId: tenant.tenant_id }}>
              {tenant.stage}
            </Link>
          ) : (
            tenant.stage
          )}
        </dd>
      </div>
    </dl>
  );
}

function Tasks({ tenant }: { tenant: Tenant }) {
  const t = useTexts(tenantTexts);
  const format = useFormat();
  const states = useTexts(tasksTexts);
  const reason = (held: string) => (held === "paused" ? t.paused : held.startsWith("quota") ? t.quota : held === "recovery" ? t.recovery : held);
  const counts = Object.entries(tenant.tasks).filter(([, count]) => count > 0);
  const held = Object.entries(tenant.held).filter(([, count]) => count > 0);
  return (
    <section className="part" aria-labelledby="tenant-tasks">
      <h2 id="tenant-tasks">{t.tasks}</h2>
      {counts.length === 0 ? (
        <p>{t.noTasks}</p>
      ) : (
        <ul className="part-line">
          {counts.map(([state, count]) => (
            <li key={state}>
              <Link to="/tasks" search={{ q: `tenant:${tenant.tenant_id} state:${state}` }}>
                {format.number(count)} {nameOfState(states, state)}
              </Link>
            </li>
          ))}
          {held.map(([why, count]) => (
            <li key={why}>{t.held(format.number(count), reason(why))}</li>
          ))}
        </ul>
      )}
      {tenant.past_gateway.tasks > 0 && <p className="part-help">{t.pastGateway(format.number(tenant.past_gateway.tasks))}</p>}
    </section>
  );
}
