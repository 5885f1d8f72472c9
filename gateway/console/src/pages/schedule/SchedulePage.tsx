import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { api, dataOf } from "../../api/client";
import type { components } from "../../api/schema";
import { Button } from "../../components/Button";
import { Failure } from "../../components/Failure";
import { Moment } from "../../components/Moment";
import { PageHead } from "../../components/PageHead";
import { Status, type Tone } from "../../components/Status";
import { Table } from "../../components/Table";
import { visible } from "../../components/visible";
import { shortId } from "../../components/shortId";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { isNews } from "../../streams/isNews";
import { queryText } from "../../streams/queryText";
import { useNews } from "../../streams/useNews";
import { useReadAgain } from "../../streams/useReadAgain";
import { useStream } from "../../streams/useStream";
import { nameOfState } from "../tasks/states";
import { tasksTexts } from "../tasks/texts";
import { Times } from "../schedules/Times";
import { useNextTime } from "../schedules/useNextTime";
import { ScheduleActions } from "./ScheduleActions";
import { daysOf } from "./days";
import { scheduleTexts } from "./texts";
import "../schedules/schedules.css";
import "../../components/Part.css";
import "./schedule.css";

type ScheduleView = components["schemas"]["ScheduleView"];
type Firing = components["schemas"]["Firing"];

const TONES: Record<Firing["outcome"], Tone> = { pending: "quiet", fired: "good", skipped: "warn", refused: "bad", missed: "bad" };
const COMING = 30;

export default function SchedulePage() {
  const { scheduleId }: { scheduleId: string } = useParams({ strict: false });
  return <ScheduleFound key={scheduleId} scheduleId={scheduleId} />;
}

function ScheduleFound({ scheduleId }: { scheduleId: string }) {
  const t = useTexts(scheduleTexts);
  const path = { schedule_id: scheduleId };
  const key = ["schedule", scheduleId];
  const found = useQuery({
    queryKey: key,
    gcTime: 0,
    queryFn: async ({ signal }) => {
      const [schedule, next] = await Promise.all([
        dataOf(api.GET("/gateway/v1/schedules/{schedule_id}", { params: { path }, signal })),
        dataOf(api.GET("/gateway/v1/schedules/{schedule_id}/next", { params: { path, query: { count: COMING } }, signal })),
      ]);
      return { schedule, times: next.times };
    },
  });
  const historyKey = [...key, "history"];
  const history = useInfiniteQuery({
    queryKey: historyKey,
    gcTime: 0,
    initialPageParam: null as string | null,
    queryFn: ({ pageParam, signal }) =>
      dataOf(
        api.GET("/gateway/v1/schedules/{schedule_id}/history", { params: { path, query: pageParam === null ? {} : { before: pageParam } }, signal }),
      ),
    getNextPageParam: (page) => (page.firings.length < 50 ? null : page.firings.at(-1)?.nominal_at),
  });
  const readAgain = useReadAgain(key);
  const readHistory = useReadAgain(historyKey);
  const both = () => {
    readAgain();
    readHistory();
  };
  useStream(
    `gateway/v1/tasks/stream?${queryText({ schedule_id: scheduleId })}`,
    (event) => {
      if (isNews(event)) both();
    },
    both,
  );
  useNews(["schedule"], both);
  // A time may come to nothing, which no task tells.
  useNextTime(found.data === undefined ? [] : [found.data.schedule], both);
  return (
    <>
      <p>
        <Link to="/schedules">{t.all}</Link>
      </p>
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {found.data !== undefined && (
        <>
          <PageHead title={visible(found.data.schedule.name)}>
            <ScheduleActions schedule={found.data.schedule} done={both} />
          </PageHead>
          <Facts schedule={found.data.schedule} />
          <Coming schedule={found.data.schedule} times={found.data.times} />
        </>
      )}
      {found.data !== undefined && history.isError && <Failure error={history.error} retry={() => void history.refetch()} />}
      {history.data !== undefined && (
        <section className="part" aria-labelledby="schedule-history">
          <h2 id="schedule-history">{t.history}</h2>
          <History firings={history.data.pages.flatMap((page) => page.firings)} />
          {history.hasNextPage && (
            <Button onPress={() => void history.fetchNextPage()} isDisabled={history.isFetching}>
              {t.older}
            </Button>
          )}
        </section>
      )}
    </>
  );
}

function Facts({ schedule }: { schedule: ScheduleView }) {
  const t = useTexts(scheduleTexts);
  const format = useFormat();
  const rows: [string, string | null][] = [
    [t.submits, schedule.action.type],
    [t.tenant, schedule.tenant_id],
    [t.project, schedule.project_id],
    [t.overlap, t[schedule.overlap]],
    [t.jitter, schedule.jitter_seconds > 0 ? format.duration(schedule.jitter_seconds) : null],
    [t.left, schedule.remaining_runs == null ? null : format.number(schedule.remaining_runs)],
    [t.note, schedule.note == null ? null : visible(schedule.note)],
  ];
  return (
    <>
      <p className="part-line">
        <code>{schedule.schedule_id}</code> <Status tone={schedule.paused ? "warn" : "good"}>{schedule.paused ? t.isPaused : t.isActive}</Status>
      </p>
      <dl className="facts facts-wide">
        <div>
          <dt>{t.times}</dt>
          <dd>
            <Times schedule={schedule} />
          </dd>
        </div>
        {rows.map(([name, value]) =>
          value === null ? null : (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ),
        )}
      </dl>
    </>
  );
}

/** A calendar: the coming days that have times, each with its times. */
function Coming({ schedule, times }: { schedule: ScheduleView; times: readonly components["schemas"]["FireTime"][] }) {
  const t = useTexts(scheduleTexts);
  return (
    <section className="part" aria-labelledby="schedule-next">
      <h2 id="schedule-next">{t.next}</h2>
      <p className="part-help">{schedule.paused ? t.nextPaused : t.nextHelp(schedule.timezone)}</p>
      {times.length === 0 && <p>{t.noTimes}</p>}
      <ol className="schedule-days">
        {daysOf(times).map((day) => (
          <li key={day.date} className="schedule-day">
            <h3>{day.date}</h3>
            <ul>
              {day.times.map((time) => (
                <li key={time.nominal_at}>
                  <time dateTime={time.nominal_at} title={new Date(time.nominal_at).toISOString()}>
                    {time.local.slice(11, 19)}
                  </time>
                </li>
              ))}
            </ul>
          </li>
        ))}
      </ol>
    </section>
  );
}

function History({ firings }: { firings: readonly Firing[] }) {
  const t = useTexts(scheduleTexts);
  const format = useFormat();
  const states = useTexts(tasksTexts);
  if (firings.length === 0) return <p>{t.none}</p>;
  return (
    <Table columns={[t.time, t.how, t.outcome, t.task]}>
      {firings.map((firing) => (
        <tr key={`${firing.nominal_at} ${firing.kind}`}>
          <td>
            <Moment at={firing.nominal_at} />
            {firing.until_at !== null && <p className="part-help">{t.until(format.moment(new Date(firing.until_at)))}</p>}
          </td>
          <td>{t[firing.kind]}</td>
          <td>
            <Status tone={TONES[firing.outcome]}>{t[firing.outcome]}</Status>
            {firing.reason !== null && <p className="part-help">{visible(firing.reason)}</p>}
          </td>
          <td>
            {firing.task_id === null ? (
              "–"
            ) : (
              <>
                <Link to="/tasks/$taskId" params={{ taskId: firing.task_id }} preload={false}>
                  <code>{shortId(firing.task_id)}</code>
                </Link>{" "}
                {firing.task_state === null ? null : nameOfState(states, firing.task_state)}
              </>
            )}
          </td>
        </tr>
      ))}
    </Table>
  );
}
