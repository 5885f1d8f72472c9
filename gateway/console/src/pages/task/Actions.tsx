import { useState } from "react";
import { Dialog, DialogTrigger, Heading, Modal, ModalOverlay } from "react-aria-components";
import { api } from "../../api/client";
import type { components } from "../../api/schema";
import { may, useSession } from "../../api/session";
import { Button } from "../../components/Button";
import { Confirm } from "../../components/Confirm";
import { Failure } from "../../components/Failure";
import { Field } from "../../components/Field";
import { useAct } from "../../components/useAct";
import { useTexts } from "../../i18n/catalogue";
import { taskTexts } from "./texts";

type TaskFacts = components["schemas"]["TaskFacts"];

const ENDED: readonly TaskFacts["state"][] = ["completed", "failed", "stopped"];
const NOT_STARTED: readonly TaskFacts["state"][] = ["waiting", "starting", "queued"];
const PRIORITIES = [1, 2, 3, 4, 5];

/** What the reader may do with the task in its present state. */
export function Actions({ task }: { task: TaskFacts }) {
  const t = useTexts(taskTexts);
  const session = useSession();
  const { act, error } = useAct();
  const path = { params: { path: { task_id: task.task_id } } };
  const steers = may(session, "steer");
  return (
    <>
      {steers && NOT_STARTED.includes(task.state) && <Reprioritise task={task} act={act} />}
      {steers && !ENDED.includes(task.state) && (
        <Confirm label={t.stop} ask={t.stopAsk} leave={t.cancel} confirm={() => act(() => api.POST("/api/v1/tasks/{task_id}/stop", path))}>
          <p>{t.stopHelp}</p>
        </Confirm>
      )}
      {steers && (task.state === "failed" || task.state === "stopped") && (
        <Button onPress={() => act(() => api.POST("/api/v1/tasks/{task_id}/retry", path))}>{t.retry}</Button>
      )}
      {task.state === "failed" && may(session, "redrive") && (
        <Button onPress={() => act(() => api.POST("/gateway/v1/dead-letters/{id}/redrive", { params: { path: { id: task.task_id } } }))}>
          {t.redrive}
        </Button>
      )}
      {error !== null && <Failure error={error} />}
    </>
  );
}

function Reprioritise({ task, act }: { task: TaskFacts; act: (request: () => Promise<unknown>) => void }) {
  const t = useTexts(taskTexts);
  const [why, setWhy] = useState("");
  return (
    <DialogTrigger>
      <Button>{t.reprioritise}</Button>
      <ModalOverlay className="overlay" isDismissable>
        <Modal>
          <Dialog className="dialog">
            {({ close }) => (
              <>
                <Heading slot="title">{t.priorityAsk}</Heading>
                <p>{t.priorityHelp}</p>
                <Field label={t.why_} value={why} onChange={setWhy} maxLength={1000} autoFocus />
                <div className="dialog-actions">
                  <Button onPress={close}>{t.cancel}</Button>
                  {PRIORITIES.filter((priority) => priority !== task.priority).map((priority) => (
                    <Button
                      key={priority}
                      onPress={() => {
                        close();
                        act(() =>
                          api.POST("/gateway/v1/operations", {
                            body: { action: "reprioritise", filter: { ids: [task.task_id] }, priority, dry_run: false, why: why.trim() || null },
                          }),
                        );
                      }}
                    >
                      {String(priority)}
                    </Button>
                  ))}
                </div>
              </>
            )}
          </Dialog>
        </Modal>
      </ModalOverlay>
    </DialogTrigger>
  );
}
