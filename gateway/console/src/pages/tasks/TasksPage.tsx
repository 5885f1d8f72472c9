import { useNavigate, useSearch } from "@tanstack/react-router";
import { type SyntheticEvent, useMemo } from "react";
import { Empty } from "../../components/Empty";
import { Failure } from "../../components/Failure";
import { Field } from "../../components/Field";
import { OperationProgress } from "../../components/OperationProgress";
import { PageHead } from "../../components/PageHead";
import { useFields } from "../../components/useFields";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { useShortcuts } from "../../keys/shortcuts";
import { BulkAction } from "./BulkAction";
import { TaskRows } from "./TaskRows";
import { bulkTexts } from "./bulkTexts";
import { type TaskQuery, UnknownFilter, parseFilter } from "./filter";
import { selectionOf } from "./selection";
import { tasksTexts } from "./texts";
import { useTaskList } from "./useTaskList";
import "./tasks.css";

function parsed(text: string): { query: TaskQuery | null; unknown?: string } {
  try {
    return { query: parseFilter(text) };
  } catch (error) {
    if (!(error instanceof UnknownFilter)) throw error;
    return { query: null, unknown: error.filter };
  }
}

export default function TasksPage() {
  const t = useTexts(tasksTexts);
  const bulk = useTexts(bulkTexts);
  const format = useFormat();
  const navigate = useNavigate();
  const search: { q?: unknown; operation?: unknown } = useSearch({ strict: false });
  const kept = typeof search.q === "string" ? search.q : "";
  const [text, setText] = useFields(kept);
  const { query, unknown } = useMemo(() => parsed(kept), [kept]);
  const { rows, isRead, error, list } = useTaskList(query);
  const operation = typeof search.operation === "string" ? search.operation : null;
  const selection = useMemo(() => (query === null ? null : selectionOf(query)), [query]);
  const follow = (id: string | undefined) => void navigate({ to: "/tasks", search: { ...search, operation: id } });
  useShortcuts([{ keys: "/", label: t.search, run: () => document.querySelector<HTMLInputElement>("form[role=search] input")?.focus() }]);

  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    void navigate({ to: "/tasks", search: text.trim() === "" ? {} : { q: text.trim() } });
  };

  return (
    <>
      <PageHead title={t.title}>{selection !== null && rows.length > 0 && <BulkAction selection={selection} filter={kept} begun={follow} />}</PageHead>
      {operation !== null && <OperationProgress key={operation} id={operation} t={bulk} close={() => follow(undefined)} />}
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
      {error !== null && <Failure error={error} retry={() => void list.reload()} />}
      {isRead && rows.length === 0 && (
        <Empty title={t.none}>
          <p>{t.noneHelp}</p>
        </Empty>
      )}
      {rows.length > 0 && (
        <>
          <TaskRows rows={rows} onEnd={() => void list.more()} />
          <p className="tasks-count">{t.loaded(format.number(rows.length))}</p>
        </>
      )}
    </>
  );
}
