import { useState } from "react";
import { api } from "../../api/client";
import type { components } from "../../api/schema";
import { may, useSession } from "../../api/session";
import { Button } from "../../components/Button";
import { Choice } from "../../components/Choice";
import { Confirm } from "../../components/Confirm";
import { Failure } from "../../components/Failure";
import { Field } from "../../components/Field";
import { useAct } from "../../components/useAct";
import { useTexts } from "../../i18n/catalogue";
import { taskTexts } from "./texts";

type TaskFacts = components["schemas"]["TaskFacts"];

const ENDED: readonly TaskFacts["state"][] = ["completed", "failed", "stopped"];
const NOT_STARTED: readonly TaskFacts["state"][] = ["waiting", "starting", "queued"];
const PRIORITIES = ["1", "2", "3", "4", "5"] as const;
type Priority = (typeof PRIORITIES)[number];

/** What the reader may do with the task in its present state. */
export function Actions({ task }: { task: TaskFacts }) {
  const t = useTexts(taskTexts);
  const session = useSession();
  const { act, once, error } = useAct();
  const path = { params: { path: { task_id: task.task_id } } };
  const steers = may(session, "steer", task);
  return (
    <>
      {/* It is an operation, which is not for keys of one project. */}
      {steers && session.only_project === null && NOT_STARTED.includes(task.state) && <Reprioritise task={task} />}
      {steers && task.state === "waiting" && task.not_before !== null && <Retime task={task} />}
      {steers && !ENDED.includes(task.state) && (
        <Confirm label={t.stop} ask={t.stopAsk} leave={t.cancel} confirm={() => act(() => api.POST("/api/v1/tasks/{task_id}/stop", path))}>
          <p>{t.stopHelp}</p>
        </Confirm>
      )}
      {steers && (task.state === "failed" || task.state === "stopped") && (
        <Button onPress={() => once(() => api.POST("/api/v1/tasks/{task_id}/retry", path))}>
          {t.retry}
        </Button>
      )}
      {task.state === "failed" && may(session, "redrive", task) && (
        <Button onPress={() => once(() => api.POST("/gateway/v1/dead-letters/{id}/redrive", { params: { path: { id: task.task_id } } }))}>
          {t.redrive}
        </Button>
      )}
      {error !== null && <Failure error={error} />}
    </>
  );
}

function Reprioritise({ task }: { task: TaskFacts }) {
  const t = useTexts(taskTexts);
  const [priority, setPriority] = useState<Priority | "">("");
  return (
    <Confirm
      label={t.reprioritise}
      ask={t.priorityAsk}
      leave={t.cancel}
      weight="plain"
      isReady={priority !== ""}
      why={t.why_}
      hasFields
      opened={() => setPriority("")}
      confirm={(why) =>
        api.POST("/gateway/v1/operations", {
          body: { action: "reprioritise", filter: { ids: [task.task_id], tenant_id: task.tenant_id, project_id: task.project_id }, priority: Number(priority), dry_run: false, why: why || null },
        })
      }
    >
      <p>{t.priorityHelp}</p>
      <Choice
        label={t.priority}
        value={priority}
        options={[["", "–"], ...PRIORITIES.filter((one) => Number(one) !== task.priority).map((one) => [one, one] as const)]}
        onChange={setPriority}
        autoFocus
      />
    </Confirm>
  );
}

/** Of a task that waits for its time. */
function Retime({ task }: { task: TaskFacts }) {
  const t = useTexts(taskTexts);
  const [text, setText] = useState("");
  const at = text === "" ? null : new Date(text);
  return (
    <Confirm
      label={t.retime}
      ask={t.retimeAsk}
      leave={t.cancel}
      weight="plain"
      isReady={at !== null && !Number.isNaN(at.getTime())}
      hasFields
      opened={() => setText("")}
      confirm={() => api.POST("/gateway/v1/tasks/{task_id}/run-at", { params: { path: { task_id: task.task_id } }, body: { run_at: at?.toISOString() ?? null } })}
    >
      <p>{t.retimeHelp}</p>
      <Field label={t.runAt} type="datetime-local" value={text} onChange={setText} autoFocus />
    </Confirm>
  );
}
