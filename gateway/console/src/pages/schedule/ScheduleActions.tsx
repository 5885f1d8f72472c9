import { useState } from "react";
import { api, dataOf } from "../../api/client";
import type { components } from "../../api/schema";
import { may, useSession } from "../../api/session";
import { Button } from "../../components/Button";
import { Confirm } from "../../components/Confirm";
import { Failure } from "../../components/Failure";
import { Field } from "../../components/Field";
import { useAct } from "../../components/useAct";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { instantOf } from "./days";
import { scheduleTexts } from "./texts";

type ScheduleView = components["schemas"]["ScheduleView"];

/** What the reader may do with a schedule. `done`: something may have changed. */
export function ScheduleActions({ schedule, done }: { schedule: ScheduleView; done: () => void }) {
  const t = useTexts(scheduleTexts);
  const session = useSession();
  const { act, once, error } = useAct(done);
  if (!may(session, "schedule", schedule)) return null;
  const path = { params: { path: { schedule_id: schedule.schedule_id } } };
  return (
    <>
      <Button onPress={() => once(() => api.POST("/gateway/v1/schedules/{schedule_id}/run", path))}>
        {t.run}
      </Button>
      <Backfill schedule={schedule} done={done} />
      {schedule.paused ? (
        <Button weight="primary" onPress={() => once(() => api.POST("/gateway/v1/schedules/{schedule_id}/resume", path))}>
          {t.resume}
        </Button>
      ) : (
        <Confirm
          label={t.pause}
          ask={t.pause}
          leave={t.close}
          weight="plain"
          why={t.why}
          isWhyRequired
          confirm={(note) => act(() => api.POST("/gateway/v1/schedules/{schedule_id}/pause", { ...path, body: { note } }))}
        />
      )}
      {error !== null && <Failure error={error} />}
    </>
  );
}

function Backfill({ schedule, done }: { schedule: ScheduleView; done: () => void }) {
  const t = useTexts(scheduleTexts);
  const format = useFormat();
  const [from, setFrom] = useState("");
  const [to, setTo] = useState("");
  const [isWanting, setWanting] = useState(false);
  const [filled, setFilled] = useState<components["schemas"]["Backfilled"] | null>(null);
  const [start, end] = [instantOf(from, schedule.timezone), instantOf(to, schedule.timezone)];

  const send = async () => {
    setWanting(true);
    if (start === null || end === null) return false;
    const answer = await dataOf(
      api.POST("/gateway/v1/schedules/{schedule_id}/backfill", {
        params: { path: { schedule_id: schedule.schedule_id } },
        body: { start_at: start.toISOString(), end_at: end.toISOString(), overlap: "buffer_all" },
      }),
    );
    setFilled(answer);
    done();
    return false;
  };

  return (
    <Confirm label={t.fill} ask={t.fill} leave={t.close} weight="plain" hasFields opened={() => setFilled(null)} confirm={send}>
      <p>{t.fillHelp(schedule.timezone)}</p>
      <Field label={t.from} type="datetime-local" value={from} onChange={setFrom} error={isWanting && start === null ? t.noTime : undefined} autoFocus />
      <Field label={t.to} type="datetime-local" value={to} onChange={setTo} error={isWanting && end === null ? t.noTime : undefined} />
      {filled !== null && <p role="status">{t.filled(format.number(filled.times), format.number(filled.noted))}</p>}
    </Confirm>
  );
}
