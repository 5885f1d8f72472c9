import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { type SyntheticEvent, useState } from "react";
import { api, dataOf } from "../../api/client";
import { Empty } from "../../components/Empty";
import { Failure } from "../../components/Failure";
import { Field } from "../../components/Field";
import { Moment } from "../../components/Moment";
import { OperationProgress } from "../../components/OperationProgress";
import { PageHead } from "../../components/PageHead";
import { Table } from "../../components/Table";
import { useFields } from "../../components/useFields";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { useShortcuts } from "../../keys/shortcuts";
import { isNews } from "../../streams/isNews";
import { useAtMost } from "../../streams/useAtMost";
import { SOONEST, useNews } from "../../streams/useNews";
import { useReadAgain } from "../../streams/useReadAgain";
import { useStream } from "../../streams/useStream";
import { OpenedGroup } from "./OpenedGroup";
import { type DeadLetterGroup, keyOf, textOf } from "./groups";
import { deadLettersTexts } from "./texts";
import "../../components/Part.css";
import "./deadLetters.css";


interface Search {
  q?: unknown;
  group?: unknown;
  redrive?: unknown;
}

/** Dead letters by what went wrong; what is open, searched and under way stands in the address. */
export default function DeadLettersPage() {
  const t = useTexts(deadLettersTexts);
  const format = useFormat();
  const navigate = useNavigate();
  const search: Search = useSearch({ strict: false });
  const error = typeof search.q === "string" ? search.q : "";
  const opened = keyOf(search.group);
  const operationId = typeof search.redrive === "string" ? search.redrive : null;
  const [text, setText] = useFields(error);
  const key = ["dead letters", error];
  const found = useQuery({
    queryKey: key,
    gcTime: 0,
    queryFn: ({ signal }) => dataOf(api.GET("/gateway/v1/dead-letters/groups", { params: { query: error === "" ? {} : { error } }, signal })),
  });
  const readAgain = useAtMost(SOONEST, useReadAgain(key));
  const [news, setNews] = useState(0);
  const told = useAtMost(SOONEST, () => setNews((count) => count + 1));
  const changed = () => {
    readAgain();
    told();
  };
  // Letters are written with the failure of their tasks; payloads that are no tasks, and who handles a letter, tell by themselves.
  useStream(
    "gateway/v1/tasks/stream",
    (event) => {
      if (isNews(event)) changed();
    },
    changed,
  );
  useNews(["dead_letter"], changed);
  useShortcuts([{ keys: "/", label: t.search, run: () => document.querySelector<HTMLInputElement>("form[role=search] input")?.focus() }]);
  const go = (next: Search) => void navigate({ to: "/dead-letters", search: { ...search, ...next } });
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    go({ q: text.trim() === "" ? undefined : text.trim() });
  };
  const data = found.data;
  return (
    <>
      <PageHead title={t.title} />
      {operationId !== null && <OperationProgress id={operationId} t={t} help={t.spreading} close={() => go({ redrive: undefined })} />}
      <form role="search" onSubmit={submit}>
        <Field label={t.search} help={t.searchHelp} type="search" value={text} onChange={setText} maxLength={1000} />
      </form>
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {data?.groups.length === 0 && (
        <Empty title={error === "" ? t.none : t.noneFound}>
          <p>{error === "" ? t.noneHelp : t.noneFoundHelp}</p>
        </Empty>
      )}
      {data !== undefined && data.groups.length > 0 && <Groups groups={data.groups} search={search} />}
      {data !== undefined && data.counted >= data.most && <p role="status">{t.counted(format.number(data.most))}</p>}
      {opened !== null && (
        <OpenedGroup
          key={`${textOf(opened)} ${error}`}
          group={opened}
          shown={data?.groups.find((one) => textOf(one) === textOf(opened))}
          error={error}
          news={news}
          close={() => go({ group: undefined })}
          begun={(id) => go({ redrive: id })}
          changed={readAgain}
        />
      )}
      {found.dataUpdatedAt > 0 && <p className="part-help">{t.figures(format.clock(new Date(found.dataUpdatedAt)))}</p>}
    </>
  );
}

function Groups({ groups, search }: { groups: readonly DeadLetterGroup[]; search: Search }) {
  const t = useTexts(deadLettersTexts);
  const format = useFormat();
  return (
    <Table columns={[t.error, t.reason, t.letters, t.tenants, t.types, t.newest, t.latest]} label={t.title}>
      {groups.map((group) => (
        <tr key={textOf(group)} className={search.group === textOf(group) ? "letters-opened" : undefined}>
          <td>
            <Link to="/dead-letters" search={{ ...search, group: textOf(group) }} aria-label={t.open(group.error_type ?? t.untyped)}>
              {visible(group.error_type ?? t.untyped)}
            </Link>
          </td>
          <td>{t[group.reason]}</td>
          <td>{format.number(group.letters)}</td>
          <td>{format.number(group.tenants)}</td>
          <td>{group.types.join(", ")}</td>
          <td>
            <Moment at={group.newest_at} />
          </td>
          <td className="letters-error" dir="auto">
            {visible(group.error ?? "–")}
          </td>
        </tr>
      ))}
    </Table>
  );
}
