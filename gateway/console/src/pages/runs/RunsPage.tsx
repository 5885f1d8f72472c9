import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { api, dataOf } from "../../api/client";
import type { components } from "../../api/schema";
import { AsOf } from "../../components/AsOf";
import { Moment } from "../../components/Moment";
import { PagedTable } from "../../components/PagedTable";
import { PageHead } from "../../components/PageHead";
import { Status } from "../../components/Status";
import { shortId } from "../../components/shortId";
import { useToldPages } from "../../components/useLivePages";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { isNews } from "../../streams/isNews";
import { queryText } from "../../streams/queryText";
import { useAtMost } from "../../streams/useAtMost";
import { SOONEST } from "../../streams/useNews";
import { useStream } from "../../streams/useStream";
import { runsTexts } from "./texts";
import { TONES } from "./tones";

type RunSummary = components["schemas"]["RunSummary"];

/** A run is a task of this type, with the same id. */
const RUN_TYPE = "taskgate.dag";
const KEY = ["runs"];

/** Runs of DAGs, newest first, live. */
export default function RunsPage() {
  const t = useTexts(runsTexts);
  const [isOpen, setOpen] = useState(false);
  const found = useInfiniteQuery({
    queryKey: KEY,
    enabled: isOpen,
    gcTime: 0,
    initialPageParam: null as string | null,
    queryFn: ({ pageParam, signal }) =>
      dataOf(api.GET("/gateway/v1/dag-runs", { params: { query: { limit: 50, ...(pageParam === null ? {} : { cursor: pageParam }) } }, signal })),
    getNextPageParam: (page) => page.next_cursor,
  });
  const live = useToldPages(found, KEY);
  const told = useAtMost(SOONEST, live.told);
  useStream(
    `gateway/v1/tasks/stream?${queryText({ type: RUN_TYPE })}`,
    (event) => {
      if (isNews(event)) told();
    },
    () => {
      setOpen(true);
      told();
    },
  );
  const runs = found.data?.pages.flatMap((page) => page.runs) ?? [];
  return (
    <>
      <PageHead title={t.title} />
      <PagedTable pages={found} columns={[t.run, t.status, t.progress, t.tenant, t.created, t.lasted]} none={t.none} noneHelp={t.noneHelp} more={t.more}>
        {runs.map((run) => (
          <Row key={run.run_id} run={run} />
        ))}
      </PagedTable>
      <AsOf found={found} live={live} />
    </>
  );
}

function Row({ run }: { run: RunSummary }) {
  const t = useTexts(runsTexts);
  const format = useFormat();
  const lasted = run.started_at === null || run.finished_at === null ? null : Date.parse(run.finished_at) - Date.parse(run.started_at);
  return (
    <tr>
      <td>
        <Link to="/dag-runs/$runId" params={{ runId: run.run_id }} preload={false}>
          {t.version(run.dag, format.number(run.version))} <code>{shortId(run.run_id)}</code>
        </Link>
      </td>
      <td>
        <Status tone={TONES[run.status]}>{t[run.status]}</Status>
      </td>
      <td>{format.number(run.progress)} %</td>
      <td>{run.tenant_id ?? "–"}</td>
      <td>
        <Moment at={run.created_at} />
      </td>
      <td>{lasted === null ? "–" : format.duration(lasted / 1000)}</td>
    </tr>
  );
}
