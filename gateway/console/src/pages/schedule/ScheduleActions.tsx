import { type SyntheticEvent, useState } from "react";
import { Dialog, DialogTrigger, Heading, Modal, ModalOverlay } from "react-aria-components";
import { api, dataOf } from "../../api/client";
import type { components } from "../../api/schema";
import { may, useSession } from "../../api/session";
import { Button } from "../../components/Button";
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
  const { act, error } = useAct(done);
  if (!may(session, "schedule")) return null;
  const path = { params: { path: { schedule_id: schedule.schedule_id } } };
  return (
    <>
      <Button onPress={() => act(() => api.POST("/gateway/v1/schedules/{schedule_id}/run", path))}>{t.run}</Button>
      <Backfill schedule={schedule} done={done} />
      {schedule.paused ? (
        <Button weight="primary" onPress={() => act(() => api.POST("/gateway/v1/schedules/{schedule_id}/resume", path))}>
          {t.resume}
        </Button>
      ) : (
        <Pause pause={(note) => act(() => api.POST("/gateway/v1/schedules/{schedule_id}/pause", { ...path, body: { note } }))} />
      )}
      {error !== null && <Failure error={error} />}
    </>
  );
}

function Pause({ pause }: { pause: (note: string) => void }) {
  const t = useTexts(scheduleTexts);
  const [why, setWhy] = useState("");
  return (
    <DialogTrigger>
      <Button>{t.pause}</Button>
      <ModalOverlay className="overlay" isDismissable>
        <Modal>
          <Dialog className="dialog">
            {({ close }) => (
              <form
                className="part-form"
                onSubmit={(event) => {
                  event.preventDefault();
                  close();
                  pause(why.trim());
                }}
              >
                <Heading slot="title">{t.pause}</Heading>
                <Field label={t.why} value={why} onChange={setWhy} maxLength={1000} isRequired autoFocus />
                <div className="dialog-actions">
                  <Button onPress={close}>{t.close}</Button>
                  <Button type="submit" weight="primary" isDisabled={why.trim() === ""}>
                    {t.pause}
                  </Button>
                </div>
              </form>
            )}
          </Dialog>
        </Modal>
      </ModalOverlay>
    </DialogTrigger>
  );
}

function Backfill({ schedule, done }: { schedule: ScheduleView; done: () => void }) {
  const t = useTexts(scheduleTexts);
  const format = useFormat();
  const [from, setFrom] = useState("");
  const [to, setTo] = useState("");
  const [isWanting, setWanting] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [filled, setFilled] = useState<components["schemas"]["Backfilled"] | null>(null);
  const [start, end] = [instantOf(from, schedule.timezone), instantOf(to, schedule.timezone)];

  const send = async (event: SyntheticEvent) => {
    event.preventDefault();
    setWanting(true);
    setError(null);
    if (start === null || end === null) return;
    try {
      const answer = await dataOf(
        api.POST("/gateway/v1/schedules/{schedule_id}/backfill", {
          params: { path: { schedule_id: schedule.schedule_id } },
          body: { start_at: start.toISOString(), end_at: end.toISOString(), overlap: "buffer_all" },
        }),
      );
      setFilled(answer);
      done();
    } catch (problem) {
      setError(problem);
    }
  };

  return (
    <DialogTrigger onOpenChange={() => setFilled(null)}>
      <Button>{t.fill}</Button>
      <ModalOverlay className="overlay" isDismissable>
        <Modal>
          <Dialog className="dialog">
            {({ close }) => (
              <form className="part-form" noValidate onSubmit={(event) => void send(event)}>
                <Heading slot="title">{t.fill}</Heading>
                <p>{t.fillHelp(schedule.timezone)}</p>
                <Field label={t.from} type="datetime-local" value={from} onChange={setFrom} error={isWanting && start === null ? t.noTime : undefined} autoFocus />
                <Field label={t.to} type="datetime-local" value={to} onChange={setTo} error={isWanting && end === null ? t.noTime : undefined} />
                {filled !== null && <p role="status">{t.filled(format.number(filled.times), format.number(filled.noted))}</p>}
                {error !== null && <Failure error={error} />}
                <div className="dialog-actions">
                  <Button onPress={close}>{t.close}</Button>
                  <Button type="submit" weight="primary">
                    {t.fill}
                  </Button>
                </div>
              </form>
            )}
          </Dialog>
        </Modal>
      </ModalOverlay>
    </DialogTrigger>
  );
}
