import { useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import type { SyntheticEvent } from "react";
import { api, dataOf } from "../../api/client";
import { jsonText } from "../../api/json";
import type { components } from "../../api/schema";
import { AsOf } from "../../components/AsOf";
import { Button } from "../../components/Button";
import { Field } from "../../components/Field";
import { Moment } from "../../components/Moment";
import { PageHead } from "../../components/PageHead";
import { PagedTable } from "../../components/PagedTable";
import { given, textOf } from "../../components/textOf";
import { useFields } from "../../components/useFields";
import { useLivePages } from "../../components/useLivePages";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { useShortcuts } from "../../keys/shortcuts";
import { Export } from "./Export";
import { Verification } from "./Verification";
import { type AuditSearch, changesOf, instantOfReader } from "./filter";
import { auditTexts } from "./texts";
import "../../components/Part.css";
import "./audit.css";

type AuditEntry = components["schemas"]["AuditEntry"];

/** Who changed what, and why; what it is filtered by stands in the address. */
export default function AuditPage() {
  const t = useTexts(auditTexts);
  const search: AuditSearch = useSearch({ strict: false });
  const navigate = useNavigate();
  const kept = {
    action: textOf(search.action),
    who: textOf(search.who),
    subject: textOf(search.subject),
    since: textOf(search.since),
    before: textOf(search.before),
  };
  const [fields, setFields] = useFields(kept);
  const [since, before] = [instantOfReader(kept.since), instantOfReader(kept.before)];
  const which = {
    ...given({ action: kept.action, who: kept.who, subject: kept.subject }),
    ...(since === null ? {} : { since }),
    ...(before === null ? {} : { before }),
  };
  const queryKey = ["audit", which];
  const found = useInfiniteQuery({
    queryKey,
    gcTime: 0,
    initialPageParam: null as string | null,
    queryFn: ({ pageParam, signal }) =>
      dataOf(api.GET("/gateway/v1/audit", { params: { query: { ...which, ...(pageParam === null ? {} : { cursor: pageParam }) } }, signal })),
    getNextPageParam: (page) => page.next_cursor,
  });
  const live = useLivePages(found, queryKey, ["audit"]);
  useShortcuts([{ keys: "/", label: t.search, run: () => document.querySelector<HTMLInputElement>("form[role=search] input")?.focus() }]);
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    void navigate({ to: "/audit", search: given(fields) });
  };
  const field = (name: keyof typeof fields) => ({
    label: t[name],
    value: fields[name],
    onChange: (text: string) => setFields({ ...fields, [name]: text }),
  });
  const entries = found.data?.pages.flatMap((page) => page.entries) ?? [];
  return (
    <>
      <PageHead title={t.title}>
        <Export key={JSON.stringify(which)} which={which} />
      </PageHead>
      <Verification />
      <form role="search" onSubmit={submit} className="part-form">
        <div className="part-fields">
          <Field {...field("action")} help={t.actionHelp} maxLength={100} />
          <Field {...field("subject")} help={t.subjectHelp} maxLength={500} />
          <Field {...field("who")} maxLength={500} />
          <Field {...field("since")} help={t.timeHelp} type="datetime-local" />
          <Field {...field("before")} help={t.timeHelp} type="datetime-local" />
        </div>
        <div>
          <Button type="submit">{t.search}</Button>
        </div>
      </form>
      <div className="audit-entries" role="group" aria-label={t.title} tabIndex={0}>
        <PagedTable pages={found} label={t.title} columns={[t.when, t.action, t.subject, t.who, t.why, t.change, t.detail]} none={t.none} noneHelp={t.noneHelp} more={t.more}>
          {entries.map((entry) => (
            <Entry key={entry.id} entry={entry} />
          ))}
        </PagedTable>
      </div>
      <AsOf found={found} live={live} />
    </>
  );
}

function Entry({ entry }: { entry: AuditEntry }) {
  const t = useTexts(auditTexts);
  const format = useFormat();
  const facts: [string, string | null][] = [
    [t.source, entry.source],
    [t.address, entry.address],
    [t.request, entry.request_id],
    [t.key, entry.key_id],
    [t.hash, entry.hash],
  ];
  const name = t.entry(format.number(entry.id));
  return (
    <tr>
      <td>
        <Moment at={entry.at} />
      </td>
      <td>{entry.action}</td>
      <td className="audit-text" dir="auto">
        {visible(entry.subject)}
      </td>
      <td>{entry.who ?? t.nobody}</td>
      <td className="audit-text" dir="auto">
        {visible(entry.why ?? "–")}
      </td>
      <td>
        <Change entry={entry} />
      </td>
      <td>
        <details>
          <summary>{name}</summary>
          <dl className="facts">
            {facts.map(([label, text]) => (
              <div key={label}>
                <dt>{label}</dt>
                <dd>
                  <code>{visible(text ?? "–")}</code>
                </dd>
              </div>
            ))}
          </dl>
          {Object.keys(entry.detail).length > 0 && (
            <pre className="part-text" tabIndex={0} aria-label={name} dir="auto">
              {visible(jsonText(entry.detail, 2))}
            </pre>
          )}
        </details>
      </td>
    </tr>
  );
}

/** What was before and is after; what did not change is left out. */
function Change({ entry }: { entry: AuditEntry }) {
  const t = useTexts(auditTexts);
  const changes = changesOf(entry.before, entry.after);
  if (changes.length === 0) return <>–</>;
  return (
    <dl className="audit-change">
      {changes.map(({ name, before, after }) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd dir="auto">
            <code>{visible(before ?? t.nothing)}</code> → <code>{visible(after ?? t.nothing)}</code>
          </dd>
        </div>
      ))}
    </dl>
  );
}
