import { useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { type SyntheticEvent, useState } from "react";
import { api, dataOf } from "../../api/client";
import type { components } from "../../api/schema";
import { useSession } from "../../api/session";
import { AsOf } from "../../components/AsOf";
import { Button } from "../../components/Button";
import { Confirm } from "../../components/Confirm";
import { Field } from "../../components/Field";
import { Moment } from "../../components/Moment";
import { PageHead } from "../../components/PageHead";
import { PagedTable } from "../../components/PagedTable";
import { ShownOnce } from "../../components/ShownOnce";
import { Status, type Tone } from "../../components/Status";
import { given, textOf } from "../../components/textOf";
import { useFields } from "../../components/useFields";
import { useLivePages } from "../../components/useLivePages";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { useShortcuts } from "../../keys/shortcuts";
import { CreateKey } from "./CreateKey";
import { RotateKey } from "./RotateKey";
import { keysTexts } from "./texts";
import "../../components/Part.css";
import "./keysPage.css";

type KeyView = components["schemas"]["KeyView"];
export type MadeKey = components["schemas"]["MadeKey"];

const TONES: Record<KeyView["state"], Tone> = { active: "good", expired: "quiet", revoked: "warn" };
const SHOWN_ADDRESSES = 3;

/** API keys: made, rotated, revoked. */
export default function KeysPage() {
  const t = useTexts(keysTexts);
  const navigate = useNavigate();
  const search: { tenant?: unknown; user?: unknown } = useSearch({ strict: false });
  const kept = { tenant: textOf(search.tenant), user: textOf(search.user) };
  const [fields, setFields] = useFields(kept);
  const [made, setMade] = useState<MadeKey | null>(null);
  const query = { ...(kept.tenant === "" ? {} : { tenant_id: kept.tenant }), ...(kept.user === "" ? {} : { user_id: kept.user }) };
  const queryKey = ["keys", query];
  const found = useInfiniteQuery({
    queryKey,
    gcTime: 0,
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) => dataOf(api.GET("/gateway/v1/keys", { params: { query: { ...query, after: pageParam } }, signal })),
    getNextPageParam: (page) => page.next,
  });
  const live = useLivePages(found, queryKey, ["key"]);
  useShortcuts([{ keys: "/", label: t.search, run: () => document.querySelector<HTMLInputElement>("form[role=search] input")?.focus() }]);
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    void navigate({ to: "/keys", search: given(fields) });
  };
  const done = (key: MadeKey) => {
    setMade(key);
    live.readAgain();
  };
  const keys = found.data?.pages.flatMap((page) => page.keys) ?? [];
  return (
    <>
      <PageHead title={t.title}>
        <CreateKey made={done} />
      </PageHead>
      {made !== null && <ShownOnce key={made.key_id} title={t.made(made.name)} secret={made.key} close={() => setMade(null)} />}
      <form role="search" onSubmit={submit} className="part-form">
        <div className="part-fields">
          <Field label={t.tenant} value={fields.tenant} onChange={(text) => setFields({ ...fields, tenant: text })} maxLength={255} />
          <Field label={t.user} value={fields.user} onChange={(text) => setFields({ ...fields, user: text })} maxLength={255} />
        </div>
        <div>
          <Button type="submit">{t.search}</Button>
        </div>
      </form>
      <PagedTable pages={found} label={t.title} columns={[t.key, t.state, t.scope, t.user, t.of, t.used, t.expires, t.actions]} none={t.none} noneHelp={t.noneHelp} more={t.more}>
        {keys.map((key) => (
          <Key key={key.key_id} shown={key} made={done} changed={live.readAgain} />
        ))}
      </PagedTable>
      <AsOf found={found} live={live} besides={t.usesOf} />
    </>
  );
}

function Key({ shown, made, changed }: { shown: KeyView; made: (key: MadeKey) => void; changed: () => void }) {
  const t = useTexts(keysTexts);
  const format = useFormat();
  const session = useSession();
  // With the new key one would act as its user.
  const rotates = shown.user_id === session.user_id || session.is_admin;
  return (
    <tr>
      <td className="key-name">
        <span dir="auto">{visible(shown.name)}</span> <code>{shown.key_id}</code>
        {shown.replaces !== null && <p className="part-help">{t.follows(shown.replaces)}</p>}
        {shown.replaced_by !== null && <p className="part-help">{t.followedBy(shown.replaced_by)}</p>}
      </td>
      <td>
        <Status tone={TONES[shown.state]}>{t[shown.state]}</Status>
      </td>
      <td>
        {shown.scope === null ? t.legacy : t[shown.scope]}
        {shown.per_minute !== null && <p className="part-help">{t.perMinute(format.number(shown.per_minute))}</p>}
      </td>
      <td>{shown.user_id}</td>
      <td>{[shown.tenant_id, shown.project_id].filter((name) => name !== null).join(", ") || t.any}</td>
      <td>
        {shown.last_used_at === null ? t.never : <Moment at={shown.last_used_at} />}
        {shown.addresses.length > 0 && <p className="part-help">{t.from(shown.addresses.slice(0, SHOWN_ADDRESSES).join(", "))}</p>}
      </td>
      <td>{shown.expires_at === null ? t.never : <Moment at={shown.expires_at} />}</td>
      <td>
        {shown.state === "active" && (
          <div className="part-actions">
            {rotates && shown.replaced_by === null && <RotateKey shown={shown} made={made} />}
            <Confirm
              label={t.revoke}
              about={visible(shown.name)}
              ask={t.revokeAsk(visible(shown.name))}
              leave={t.leave}
              why={t.why}
              confirm={async (why) => {
                await api.DELETE("/gateway/v1/keys/{key_id}", { params: { path: { key_id: shown.key_id }, query: why === "" ? {} : { why } } });
                changed();
              }}
            >
              <p>{t.revokeHelp}</p>
            </Confirm>
          </div>
        )}
      </td>
    </tr>
  );
}
