import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { api, dataOf } from "../../api/client";
import { AsOf } from "../../components/AsOf";
import { Moment } from "../../components/Moment";
import { PagedTable } from "../../components/PagedTable";
import { PageHead } from "../../components/PageHead";
import { Status } from "../../components/Status";
import { useLivePages } from "../../components/useLivePages";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { Times } from "./Times";
import { schedulesTexts } from "./texts";
import { useNextTime } from "./useNextTime";
import "./schedules.css";

const KEY = ["schedules"];

/** Schedules by id. A time that has come is followed by the next one. */
export default function SchedulesPage() {
  const t = useTexts(schedulesTexts);
  const found = useInfiniteQuery({
    queryKey: KEY,
    gcTime: 0,
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) => dataOf(api.GET("/gateway/v1/schedules", { params: { query: { after: pageParam } }, signal })),
    getNextPageParam: (page) => page.next,
  });
  const live = useLivePages(found, KEY, ["schedule"]);
  const schedules = found.data?.pages.flatMap((page) => page.schedules) ?? [];
  useNextTime(schedules, () => void found.refetch());
  return (
    <>
      <PageHead title={t.title} />
      <PagedTable pages={found} columns={[t.name, t.times, t.submits, t.tenant, t.next]} none={t.none} noneHelp={t.noneHelp} more={t.more}>
        {schedules.map((schedule) => (
          <tr key={schedule.schedule_id}>
            <td>
              <Link to="/schedules/$scheduleId" params={{ scheduleId: schedule.schedule_id }} preload={false}>
                <bdi>{visible(schedule.name)}</bdi>
              </Link>
            </td>
            <td>
              <Times schedule={schedule} />
            </td>
            <td>{schedule.action.type}</td>
            <td>{schedule.tenant_id ?? "–"}</td>
            <td>
              {schedule.paused ? (
                <Status tone="warn">{t.paused}</Status>
              ) : schedule.next_at === null ? (
                t.over
              ) : (
                <Moment at={schedule.next_at} />
              )}
            </td>
          </tr>
        ))}
      </PagedTable>
      <AsOf found={found} live={live} />
    </>
  );
}
