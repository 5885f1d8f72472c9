import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { type SyntheticEvent, useState } from "react";
import { api, dataOf } from "../../api/client";
import { AsOf } from "../../components/AsOf";
import { Field } from "../../components/Field";
import { PageHead } from "../../components/PageHead";
import { PagedTable } from "../../components/PagedTable";
import { useLivePages } from "../../components/useLivePages";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { useShortcuts } from "../../keys/shortcuts";
import { tenantsTexts } from "./texts";

const KEY = ["tenants"];

/** Tenants by id, with their tier, weight and stage. */
export default function TenantsPage() {
  const t = useTexts(tenantsTexts);
  const format = useFormat();
  const navigate = useNavigate();
  const [text, setText] = useState("");
  const found = useInfiniteQuery({
    queryKey: KEY,
    gcTime: 0,
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) => dataOf(api.GET("/gateway/v1/tenants", { params: { query: { after: pageParam } }, signal })),
    getNextPageParam: (page) => page.next,
  });
  const live = useLivePages(found, KEY, ["tenant"]);
  useShortcuts([{ keys: "/", label: t.find, run: () => document.querySelector<HTMLInputElement>("form[role=search] input")?.focus() }]);
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (text.trim() !== "") void navigate({ to: "/tenants/$tenantId", params: { tenantId: text.trim() } });
  };
  const tenants = found.data?.pages.flatMap((page) => page.tenants) ?? [];
  return (
    <>
      <PageHead title={t.title} />
      <form role="search" onSubmit={submit}>
        <Field label={t.find} help={t.findHelp} type="search" value={text} onChange={setText} maxLength={255} />
      </form>
      <PagedTable pages={found} label={t.title} columns={[t.tenant, t.name, t.tier, t.weight, t.stage]} none={t.none} noneHelp={t.noneHelp} more={t.more}>
        {tenants.map((tenant) => (
          <tr key={tenant.tenant_id}>
            <td>
              <Link to="/tenants/$tenantId" params={{ tenantId: tenant.tenant_id }} preload={false}>
                {tenant.tenant_id}
              </Link>
            </td>
            <td dir="auto">{visible(tenant.name ?? "–")}</td>
            <td>{t[tenant.tier]}</td>
            <td>{format.number(tenant.weight)}</td>
            <td>{tenant.stage}</td>
          </tr>
        ))}
      </PagedTable>
      <AsOf found={found} live={live} />
    </>
  );
}
