import { useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { type SyntheticEvent, useMemo, useState } from "react";
import { api, dataOf } from "../../api/client";
import { Empty } from "../../components/Empty";
import { Failure } from "../../components/Failure";
import { Field } from "../../components/Field";
import { PageHead } from "../../components/PageHead";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { TaskRows } from "./TaskRows";
import { type TaskQuery, UnknownFilter, parseFilter } from "./filter";
import { tasksTexts } from "./texts";
import "./tasks.css";

const PAGE_SIZE = 100;

function parsed(text: string): { query: TaskQuery; unknown?: string } {
  try {
    return { query: parseFilter(text) };
  } catch (error) {
    if (!(error instanceof UnknownFilter)) throw error;
    return { query: {}, unknown: error.filter };
  }
}

export default function TasksPage() {
  const t = useTexts(tasksTexts);
  const format = useFormat();
  const navigate = useNavigate();
  const search: { q?: unknown } = useSearch({ strict: false });
  const kept = typeof search.q === "string" ? search.q : "";
  const [text, setText] = useState(kept);
  const { query, unknown } = useMemo(() => parsed(kept), [kept]);
  const found = useInfiniteQuery({
    queryKey: ["tasks", query],
    enabled: unknown === undefined,
    initialPageParam: null as string | null,
    queryFn: ({ pageParam, signal }) =>
      dataOf(api.GET("/gateway/v1/tasks", { params: { query: { ...query, limit: PAGE_SIZE, cursor: pageParam } }, signal })),
    getNextPageParam: (page) => page.next_cursor,
  });
  const rows = useMemo(() => found.data?.pages.flatMap((page) => page.tasks) ?? [], [found.data]);

  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    void navigate({ to: "/tasks", search: text.trim() === "" ? {} : { q: text.trim() } });
  };

  return (
    <>
      <PageHead title={t.title} />
      <form role="search" onSubmit={submit}>
        <Field
          label={t.search}
          help={t.searchHelp}
          value={text}
          onChange={setText}
          type="search"
          error={unknown === undefined ? undefined : t.unknown(unknown)}
        />
      </form>
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {found.isSuccess && rows.length === 0 && (
        <Empty title={t.none}>
          <p>{t.noneHelp}</p>
        </Empty>
      )}
      {rows.length > 0 && (
        <>
          <TaskRows
            rows={rows}
            onEnd={() => {
              if (found.hasNextPage && !found.isFetching) void found.fetchNextPage();
            }}
          />
          <p className="tasks-count" role="status">
            {t.loaded(format.number(rows.length))}
          </p>
        </>
      )}
    </>
  );
}
