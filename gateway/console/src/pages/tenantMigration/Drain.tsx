import { useState } from "react";
import type { components } from "../../api/schema";
import { Status, type Tone } from "../../components/Status";
import { Table } from "../../components/Table";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { queryText } from "../../streams/queryText";
import { useStream } from "../../streams/useStream";
import { tenantMigrationTexts } from "./texts";

type DrainReport = components["schemas"]["DrainReport"];

const TONES: Record<DrainReport["verdict"], Tone> = { draining: "busy", blocked: "warn", drained: "good", safe_to_switch_off: "good" };
const PLACES = [
  "queued",
  "delayed",
  "retrying",
  "running",
  "on_legacy_workers",
  "held_by_quota",
  "held_by_pause",
  "past_gateway",
  "set_aside",
  "schedules",
] as const;

/** What is left of the tenant for Redis, live. */
export function Drain({ tenantId }: { tenantId: string }) {
  const t = useTexts(tenantMigrationTexts);
  const format = useFormat();
  const [report, setReport] = useState<DrainReport | null>(null);
  useStream(`gateway/v1/migration/drain/stream?${queryText({ tenant_id: tenantId })}`, (event) => {
    if (event.name === "drain") setReport(event.data as DrainReport);
  });
  if (report === null) return null;
  const { eta } = report;
  return (
    <section className="tenant-part" aria-labelledby="drain">
      <h2 id="drain">
        {t.drain} <Status tone={TONES[report.verdict]}>{t[report.verdict]}</Status>
      </h2>
      <p>
        {t.left(format.number(report.tasks))}
        {eta !== null && `, ${t.eta(format.duration(eta.seconds), format.duration(eta.low), format.duration(eta.high))}`}
        {eta === null && report.no_eta !== null && `, ${report.no_eta}`}
      </p>
      {[...report.blocked_by, ...report.missing, ...report.notes].map((line) => (
        <p key={line}>{line}</p>
      ))}
      <Table columns={[t.place, t.count]} labelledBy="drain" look="tenant-counts">
        {PLACES.map((place) => (
          <tr key={place}>
            <td>{t[place]}</td>
            <td>{format.number(report.counts[place])}</td>
          </tr>
        ))}
      </Table>
    </section>
  );
}
