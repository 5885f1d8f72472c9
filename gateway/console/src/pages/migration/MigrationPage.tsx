import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, dataOf } from "../../api/client";
import { Problem } from "../../api/problem";
import { may, useSession } from "../../api/session";
import { Empty } from "../../components/Empty";
import { Failure } from "../../components/Failure";
import { Field } from "../../components/Field";
import { Moment } from "../../components/Moment";
import { PageHead } from "../../components/PageHead";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useReadAgain } from "../../streams/useReadAgain";
import { useStream } from "../../streams/useStream";
import { Board } from "./Board";
import { Ledger } from "./Ledger";
import { MoveDialog } from "./MoveDialog";
import { Plans } from "./Plans";
import { type Move, Undo } from "./Undo";
import { STALE, type Stage, type TenantView, ownStage } from "./stages";
import { migrationTexts } from "./texts";
import "./migration.css";

/** Tenants of one answer. */
const PAGE = 1000;
const SHOWN_CHANGES = 20;

async function readTenants(signal: AbortSignal): Promise<TenantView[]> {
  const tenants: TenantView[] = [];
  let after: string | null = "";
  do {
    const page: { tenants: TenantView[]; next: string | null } = await dataOf(
      api.GET("/gateway/v1/tenants", { params: { query: { after, limit: PAGE } }, signal }),
    );
    tenants.push(...page.tenants);
    after = page.next;
  } while (after !== null);
  return tenants;
}

async function read(signal: AbortSignal) {
  const [tenants, stages, ledger] = await Promise.all([
    readTenants(signal),
    dataOf(api.GET("/gateway/v1/migration/stages", { signal })),
    dataOf(api.GET("/gateway/v1/migration/ledger", { params: { query: { limit: SHOWN_CHANGES } }, signal })),
  ]);
  return { tenants, stages, flips: ledger.flips };
}

export default function MigrationPage() {
  const t = useTexts(migrationTexts);
  const session = useSession();
  const [isOpen, setOpen] = useState(false);
  const [filter, setFilter] = useState("");
  const [asked, setAsked] = useState<{ tenant: TenantView; own: Stage | null; to: Stage | null } | null>(null);
  const [made, setMade] = useState<Move | null>(null);
  const readAgain = useReadAgain(["migration"]);
  // It begins with what is in force, also after a cut.
  const stream = useStream("gateway/v1/migration/stages/stream", () => {
    setOpen(true);
    readAgain();
  });
  const found = useQuery({ queryKey: ["migration"], queryFn: ({ signal }) => read(signal), enabled: isOpen || stream === "refused" });

  /** The version to base a change on, while the tenant's own stage is what its maker has seen. */
  const versionAt = async (tenantId: string, seen: Stage | null) => {
    const stages = await dataOf(api.GET("/gateway/v1/migration/stages"));
    if (ownStage(stages, tenantId) !== seen) throw new Problem(409, STALE, t.movedByOther(tenantId));
    return stages.version ?? 0;
  };
  const move = async ({ tenant, own }: { tenant: TenantView; own: Stage | null }, to: Stage, why: string, force: boolean) => {
    const based_on = await versionAt(tenant.tenant_id, own);
    const answer = await dataOf(
      api.PUT("/gateway/v1/migration/stages", { body: { tenant_id: tenant.tenant_id, everything: false, stage: to, why, force, based_on } }),
    );
    setMade({ tenantId: tenant.tenant_id, before: own, to, why, at: new Date(answer.at), notes: [...answer.warnings, ...answer.notes] });
    readAgain();
  };
  const undo = async (done: Move, force: boolean) => {
    const change = { tenant_id: done.tenantId, why: t.undoWhy(done.why), force, based_on: await versionAt(done.tenantId, done.to) };
    if (done.before === null) await api.DELETE("/gateway/v1/migration/stages", { params: { query: change } });
    else await api.PUT("/gateway/v1/migration/stages", { body: { ...change, everything: false, stage: done.before } });
    readAgain();
  };

  const data = found.data;
  const readOnly = data?.stages.read_only ?? null;
  const moves = may(session, "operate") && readOnly === null;
  const shown = data?.tenants.filter((tenant) => tenant.tenant_id.includes(filter.trim())) ?? [];
  return (
    <>
      <PageHead title={t.title} />
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {made !== null && <Undo key={made.at.getTime()} move={made} undo={(force) => undo(made, force)} />}
      {data !== undefined && (
        <>
          {readOnly !== null && (
            <p role="status">
              {t.readOnly}: {readOnly}
            </p>
          )}
          {data.stages.problems.length > 0 && (
            <section className="notice" aria-labelledby="migration-problems">
              <h2 id="migration-problems">{t.problems}</h2>
              {data.stages.problems.map((problem) => (
                <p key={problem}>{problem}</p>
              ))}
            </section>
          )}
          {data.stages.overrides.length > 0 && (
            <section className="notice" aria-labelledby="migration-overrides">
              <h2 id="migration-overrides">{t.overrides}</h2>
              {data.stages.overrides.map((one) => (
                <p key={one.version}>
                  {[one.tenant_id, one.project_id, one.task_type].filter((name) => name !== null).join(", ") || "*"}: {one.stage} ({one.by}: <bdi>{visible(one.why)}</bdi>)
                  {one.expires_at !== null && (
                    <>
                      {" "}
                      {t.until} <Moment at={one.expires_at} />
                    </>
                  )}
                </p>
              ))}
            </section>
          )}
          {data.tenants.length === 0 ? (
            <Empty title={t.none}>
              <p>{t.noneHelp}</p>
            </Empty>
          ) : (
            <>
              {moves && <p className="board-help">{t.help}</p>}
              <Field label={t.filter} type="search" value={filter} onChange={setFilter} />
              <Board tenants={shown} onMove={moves ? (tenant, to) => setAsked({ tenant, own: ownStage(data.stages, tenant.tenant_id), to }) : undefined} />
            </>
          )}
          <Plans />
          <Ledger flips={data.flips} />
        </>
      )}
      {asked !== null && (
        <MoveDialog
          tenant={asked.tenant}
          to={asked.to}
          move={(to, why, force) => move(asked, to, why, force)}
          close={() => setAsked(null)}
        />
      )}
    </>
  );
}
