import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { api, dataOf } from "../../api/client";
import { may, useSession } from "../../api/session";
import { Empty } from "../../components/Empty";
import { Failure } from "../../components/Failure";
import { Field } from "../../components/Field";
import { Moment } from "../../components/Moment";
import { PageHead } from "../../components/PageHead";
import { Table } from "../../components/Table";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { useNews } from "../../streams/useNews";
import { useReadAgain } from "../../streams/useReadAgain";
import { NewDag } from "./NewDag";
import { dagsTexts } from "./texts";
import "../../components/Part.css";

/** The DAGs of a tenant. */
export default function DagsPage() {
  const t = useTexts(dagsTexts);
  const format = useFormat();
  const session = useSession();
  const navigate = useNavigate();
  const search: { tenant?: unknown } = useSearch({ strict: false });
  const tenant = typeof search.tenant === "string" && search.tenant !== "" ? search.tenant : null;
  const key = ["dags", tenant];
  const found = useQuery({
    queryKey: key,
    enabled: tenant !== null || session.tenant_ids.length > 0,
    gcTime: 0,
    queryFn: ({ signal }) => dataOf(api.GET("/gateway/v1/dags", { params: { query: tenant === null ? {} : { tenant_id: tenant } }, signal })),
  });
  useNews(["dag"], useReadAgain(key), tenant ?? undefined);
  const dags = found.data?.dags ?? [];
  return (
    <>
      <PageHead title={t.title}>{found.data !== undefined && may(session, "define", { tenant_id: tenant }) && <NewDag tenant={tenant} taken={dags.map((dag) => dag.name)} />}</PageHead>
      {session.tenant_ids.length !== 1 && (
        <Field label={t.tenant} help={t.tenantHelp} value={tenant ?? ""} onChange={(typed) => void navigate({ to: ".", search: typed === "" ? {} : { tenant: typed }, replace: true })} />
      )}
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {found.data !== undefined && dags.length === 0 && (
        <Empty title={t.none}>
          <p>{t.noneHelp}</p>
        </Empty>
      )}
      {dags.length > 0 && (
        <Table columns={[t.name, t.version, t.nodes, t.description, t.changed]} label={t.title}>
          {dags.map((dag) => (
            <tr key={dag.name}>
              <td>
                <Link to="/dags/$name" params={{ name: dag.name }} search={tenant === null ? {} : { tenant }} preload={false}>
                  {dag.name}
                </Link>
              </td>
              <td>{dag.built_in ? t.builtIn : `${format.number(dag.version)}${dag.label == null ? "" : ` (${visible(dag.label)})`}`}</td>
              <td>{format.number(dag.nodes)}</td>
              <td dir="auto">{visible(dag.description ?? "–")}</td>
              <td>{dag.changed_at == null ? "–" : <Moment at={dag.changed_at} />}</td>
            </tr>
          ))}
        </Table>
      )}
    </>
  );
}
