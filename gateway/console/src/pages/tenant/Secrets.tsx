import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, dataOf } from "../../api/client";
import { Confirm } from "../../components/Confirm";
import { Failure } from "../../components/Failure";
import { Field } from "../../components/Field";
import { Moment } from "../../components/Moment";
import { ShownOnce } from "../../components/ShownOnce";
import { Table } from "../../components/Table";
import { useTexts } from "../../i18n/catalogue";
import { secretTexts } from "./secretTexts";

const USUAL = "24";
const MOST_HOURS = 720;

/** What the tenant's callbacks are signed with. */
export function Secrets({ tenantId }: { tenantId: string }) {
  const t = useTexts(secretTexts);
  const [hours, setHours] = useState(USUAL);
  const [made, setMade] = useState<string | null>(null);
  const path = { id: tenantId };
  const found = useQuery({
    queryKey: ["tenant", tenantId, "secrets"],
    gcTime: 0,
    queryFn: ({ signal }) => dataOf(api.GET("/gateway/v1/tenants/{id}/webhook-secret", { params: { path }, signal })),
  });
  const overlap = hours.trim() === "" ? NaN : Number(hours);
  const isWrong = !(overlap >= 0 && overlap <= MOST_HOURS);
  const rotate = async () => {
    const answer = await dataOf(api.POST("/gateway/v1/tenants/{id}/webhook-secret", { params: { path }, body: { overlap_hours: overlap } }));
    setMade(answer.secret);
    void found.refetch();
  };
  const secrets = found.data?.secrets ?? [];
  return (
    <section className="part" aria-labelledby="tenant-secrets">
      <div className="page-head">
        <h2 id="tenant-secrets">{t.secrets}</h2>
        <Confirm label={t.rotate} ask={t.rotate} leave={t.leave} weight="plain" isReady={!isWrong} hasFields opened={() => setHours(USUAL)} confirm={rotate}>
          <p>{t.rotateHelp}</p>
          <Field label={t.overlap} help={t.overlapHelp} value={hours} onChange={setHours} inputMode="decimal" error={isWrong ? t.overlapWrong : undefined} autoFocus />
        </Confirm>
      </div>
      {made !== null && <ShownOnce key={made} title={t.made} secret={made} close={() => setMade(null)} />}
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {found.data !== undefined && secrets.length === 0 && <p>{t.none}</p>}
      {secrets.length > 0 && (
        <Table columns={[t.secret, t.createdAt, t.createdBy, t.expires]} label={t.secrets}>
          {secrets.map((secret) => (
            <tr key={secret.id}>
              <th scope="row">{t.number(String(secret.id))}</th>
              <td>
                <Moment at={secret.created_at} />
              </td>
              <td>{secret.created_by}</td>
              <td>{secret.expires_at === null ? t.current : <Moment at={secret.expires_at} />}</td>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}
