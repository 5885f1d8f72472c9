import { useState } from "react";
import type { components } from "../../api/schema";
import { Moment } from "../../components/Moment";
import { Status, type Tone } from "../../components/Status";
import { Table } from "../../components/Table";
import { useTexts } from "../../i18n/catalogue";
import { type Format, useFormat } from "../../i18n/format";
import { queryText } from "../../streams/queryText";
import { useStream } from "../../streams/useStream";
import { tenantMigrationTexts } from "./texts";

type ParityReport = components["schemas"]["ParityReport"];
type Durations = components["schemas"]["Durations"];
type Rate = components["schemas"]["ParityRate"];

const TONES: Record<ParityReport["verdict"], Tone> = { pass: "good", regress: "bad", inconclusive: "warn", no_data: "quiet" };

const quantiles = (format: Format, of: Durations) =>
  of.p50 === null || of.p99 === null ? "–" : `${format.duration(of.p50)} / ${format.duration(of.p99)}`;
const rate = (format: Format, of: Rate) => `${format.number(of.yes)} / ${format.number(of.asked)}`;

/** Whether the tenant's tasks fare as well as before its last move, live. */
export function Parity({ tenantId }: { tenantId: string }) {
  const t = useTexts(tenantMigrationTexts);
  const format = useFormat();
  const [report, setReport] = useState<ParityReport | null>(null);
  useStream(`gateway/v1/migration/parity/stream?${queryText({ tenant_id: tenantId })}`, (event) => {
    if (event.name === "parity") setReport(event.data as ParityReport);
  });
  if (report === null) return null;
  return (
    <section className="tenant-part" aria-labelledby="parity">
      <h2 id="parity">
        {t.parity} <Status tone={TONES[report.verdict]}>{t[report.verdict]}</Status>
      </h2>
      {report.since !== null && (
        <p>
          {t.since} <Moment at={report.since} />
        </p>
      )}
      {report.reasons.map((reason) => (
        <p key={reason}>{reason}</p>
      ))}
      {report.types.length === 0 ? (
        <p>{t.noTypes}</p>
      ) : (
        <Table columns={[t.type, t.when, t.backend, t.tasks, t.failed, t.dead, t.wait, t.run]}>
          {report.types.flatMap((type) =>
            type.sides.map((side) => (
              <tr key={`${type.task_type} ${side.when} ${side.backend}`}>
                <td>
                  {type.task_type} <Status tone={TONES[type.verdict]}>{t[type.verdict]}</Status>
                </td>
                <td>{side.when === "before" ? t.before : t.after}</td>
                <td>{side.backend}</td>
                <td>{format.number(side.tasks)}</td>
                <td>{rate(format, side.failed)}</td>
                <td>{rate(format, side.dead)}</td>
                <td>{quantiles(format, side.wait)}</td>
                <td>{quantiles(format, side.run)}</td>
              </tr>
            )),
          )}
        </Table>
      )}
    </section>
  );
}
