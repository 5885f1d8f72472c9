import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { api, dataOf } from "../../api/client";
import { Button } from "../../components/Button";
import { Empty } from "../../components/Empty";
import { Failure } from "../../components/Failure";
import { Moment } from "../../components/Moment";
import { PageHead } from "../../components/PageHead";
import { Status } from "../../components/Status";
import { useTexts } from "../../i18n/catalogue";
import { Times } from "./Times";
import { schedulesTexts } from "./texts";
import { useMoment } from "./useMoment";
import "../../components/Table.css";
import "./schedules.css";

/** Schedules by id. A time that has come is followed by the next one. */
export default function SchedulesPage() {
  const t = useTexts(schedulesTexts);
  const found = useInfiniteQuery({
    queryKey: ["schedules"],
    gcTime: 0,
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) => dataOf(api.GET("/gateway/v1/schedules", { params: { query: { after: pageParam } }, signal })),
    getNextPageParam: (page) => page.next,
  });
  const schedules = found.data?.pages.flatMap((page) => page.schedules) ?? [];
  const times = schedules.map((schedule) => schedule.next_at).filter((time) => time !== null);
  useMoment(times.length === 0 ? null : times.reduce((one, other) => (Date.parse(one) < Date.parse(other) ? one : other)), () => void found.refetch());
  return (
    <>
      <PageHead title={t.title} />
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {found.data !== undefined && schedules.length === 0 && (
        <Empty title={t.none}>
          <p>{t.noneHelp}</p>
        </Empty>
      )}
      {schedules.length > 0 && (
        <table className="table">
          <thead>
            <tr>
              {[t.name, t.times, t.submits, t.tenant, t.next].map((name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {schedules.map((schedule) => (
              <tr key={schedule.schedule_id}>
                <td>
                  <Link to="/schedules/$scheduleId" params={{ scheduleId: schedule.schedule_id }} preload={false}>
                    {schedule.name}
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
          </tbody>
        </table>
      )}
      {found.hasNextPage && (
        <Button onPress={() => void found.fetchNextPage()} isDisabled={found.isFetching}>
          {t.more}
        </Button>
      )}
    </>
  );
}
