import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { Button } from "../../components/Button";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { STAGES, type Stage, type TenantView } from "./stages";
import { migrationTexts } from "./texts";

/** Cards of a column; more are found by name. */
const MOST = 50;
const KIND = "text/x-taskgate-tenant";

interface BoardProps {
  tenants: readonly TenantView[];
  /** Left out: nothing can be moved. `to` null: to be asked for. */
  onMove?: ((tenant: TenantView, to: Stage | null) => void) | undefined;
}

/** Tenants by stage. */
export function Board({ tenants, onMove }: BoardProps) {
  const t = useTexts(migrationTexts);
  const format = useFormat();
  const [over, setOver] = useState<Stage | null>(null);
  return (
    <div className="board" role="group" aria-label={t.title} tabIndex={0}>
      {STAGES.map((stage) => {
        const here = tenants.filter((tenant) => tenant.stage === stage);
        return (
          <section
            key={stage}
            className={over === stage ? "board-column board-column-over" : "board-column"}
            aria-labelledby={`board-${stage}`}
            onDragOver={(event) => {
              if (!event.dataTransfer.types.includes(KIND)) return;
              event.preventDefault();
              setOver(stage);
            }}
            onDragLeave={() => setOver(null)}
            onDrop={(event) => {
              setOver(null);
              const tenant = tenants.find((one) => one.tenant_id === event.dataTransfer.getData(KIND));
              if (tenant !== undefined && tenant.stage !== stage) onMove?.(tenant, stage);
            }}
          >
            <header>
              <h2 id={`board-${stage}`}>
                {stage} <span className="board-count">{format.number(here.length)}</span>
              </h2>
              <p>{t[stage]}</p>
            </header>
            <ul>
              {here.slice(0, MOST).map((tenant) => (
                <li
                  key={tenant.tenant_id}
                  className="board-card"
                  draggable={onMove !== undefined}
                  onDragStart={(event) => {
                    event.dataTransfer.setData(KIND, tenant.tenant_id);
                    event.dataTransfer.effectAllowed = "move";
                  }}
                >
                  <Link className="board-name" title={tenant.tenant_id} to="/migration/$tenantId" params={{ tenantId: tenant.tenant_id }} draggable={false}>
                    {tenant.tenant_id}
                  </Link>
                  <span className="board-tier">{tenant.tier}</span>
                  {onMove !== undefined && (
                    <Button weight="bare" aria-label={t.moveOf(tenant.tenant_id)} onPress={() => onMove(tenant, null)}>
                      {t.move}
                    </Button>
                  )}
                </li>
              ))}
            </ul>
            {here.length > MOST && <p className="board-more">{t.more(format.number(here.length - MOST))}</p>}
          </section>
        );
      })}
    </div>
  );
}
