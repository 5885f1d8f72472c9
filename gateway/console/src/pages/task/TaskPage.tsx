import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { api, dataOf } from "../../api/client";
import { jsonText } from "../../api/json";
import { Problem } from "../../api/problem";
import type { components } from "../../api/schema";
import { may, useSession } from "../../api/session";
import { Failure } from "../../components/Failure";
import { Moment } from "../../components/Moment";
import { PageHead } from "../../components/PageHead";
import { Status } from "../../components/Status";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { isNews } from "../../streams/isNews";
import { queryText } from "../../streams/queryText";
import { useReadAgain } from "../../streams/useReadAgain";
import { useStream } from "../../streams/useStream";
import { TONES } from "../tasks/states";
import { tasksTexts } from "../tasks/texts";
import { Actions } from "./Actions";
import { Links } from "./Links";
import { Payload } from "./Payload";
import { Timeline } from "./Timeline";
import { Why } from "./Why";
import { taskTexts } from "./texts";
import "../../components/Part.css";
import "./task.css";

type TaskDispatch = components["schemas"]["TaskDispatch"];
type TaskLog = components["schemas"]["TaskLogResponse"];

/** Both of what the API says of one task. */
async function read(taskId: string, signal: AbortSignal): Promise<{ task: TaskDispatch; log: TaskLog }> {
  const options = { params: { path: { task_id: taskId } }, signal };
  const [task, log] = await Promise.all([
    dataOf(api.GET("/gateway/v1/tasks/{task_id}", options)),
    dataOf(api.GET("/api/v1/tasks/{task_id}", options)),
  ]);
  return { task, log };
}

export default function TaskPage() {
  const { taskId }: { taskId: string } = useParams({ strict: false });
  return <TaskView key={taskId} taskId={taskId} />;
}

function TaskView({ taskId }: { taskId: string }) {
  const t = useTexts(taskTexts);
  const [isOpen, setOpen] = useState(false);
  const queryKey = ["task", taskId];
  const found = useQuery({ queryKey, queryFn: ({ signal }) => read(taskId, signal), enabled: isOpen, gcTime: 0 });
  const readAgain = useReadAgain(queryKey);
  useStream(
    `gateway/v1/tasks/stream?${queryText({ id: taskId })}`,
    (event) => {
      if (isNews(event)) readAgain();
    },
    // What is read from now on misses nothing.
    () => {
      setOpen(true);
      readAgain();
    },
  );
  return (
    <>
      <p>
        <Link to="/tasks">{t.all}</Link>
      </p>
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {found.data !== undefined && <Found {...found.data} />}
    </>
  );
}

function Found({ task, log }: { task: TaskDispatch; log: TaskLog }) {
  const t = useTexts(taskTexts);
  const states = useTexts(tasksTexts);
  const format = useFormat();
  const session = useSession();
  const labels = Object.entries(task.labels).map(([key, value]) => `${key}:${value}`);
  const rows: [string, string | null][] = [
    [t.backend, task.backend],
    [t.stage, task.stage],
    [t.tenant, task.tenant_id],
    [t.project, task.project_id],
    [t.entity, task.entity_id],
    [t.priority, format.number(task.priority)],
    [t.queue, task.queue],
    [t.worker, task.worker_id],
    [t.attempts, `${task.attempt} / ${task.max_attempts}`],
    [t.labels, labels.length === 0 ? null : labels.join(" ")],
    [t.run, task.dag_run_id],
  ];
  return (
    <>
      <PageHead title={task.task_type}>
        <Actions task={task} />
      </PageHead>
      <div className="part-line">
        <code>{task.task_id}</code> <Status tone={TONES[task.state]}>{states[task.state]}</Status>
        <span>
          {t.created} <Moment at={task.created_at} />
        </span>
        {task.not_before !== null && task.state === "waiting" && (
          <span>
            {t.due} <Moment at={task.not_before} />
          </span>
        )}
        <Links taskId={task.task_id} version={String(task.epoch)} />
      </div>
      {task.waiting_because !== null && <p role="status">{task.waiting_because}</p>}
      <div className="task-progress">
        <label htmlFor="task-progress">{t.progress}</label>
        <progress id="task-progress" max={100} value={log.progress} />
        <span>
          {format.number(log.progress)} %{log.message !== null && `, ${visible(log.message)}`}
        </span>
      </div>
      {log.error !== null && (
        <section className="part" aria-labelledby="task-error">
          <h2 id="task-error">{t.error}</h2>
          <p className="part-error" dir="auto">
            {visible(log.error)}
          </p>
          {task.state === "failed" && may(session, "observe") && <Stack taskId={task.task_id} />}
        </section>
      )}
      <dl className="facts facts-wide">
        {rows.map(([name, value]) =>
          value === null ? null : (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ),
        )}
      </dl>
      <Timeline task={task} />
      <Why taskId={task.task_id} version={`${task.epoch} ${task.attempt} ${task.state}`} />
      {log.result !== null && (
        <section className="part" aria-labelledby="task-result">
          <h2 id="task-result">{t.result}</h2>
          <pre className="part-text" tabIndex={0} aria-label={t.result} dir="auto">
            {visible(jsonText(log.result, 2))}
          </pre>
        </section>
      )}
      <Payload taskId={task.task_id} />
    </>
  );
}

/** Frames of the last error: the archive of dead letters keeps them. */
function Stack({ taskId }: { taskId: string }) {
  const t = useTexts(taskTexts);
  const letter = useQuery({
    queryKey: ["task", taskId, "dead letter"],
    gcTime: 0,
    queryFn: ({ signal }) => dataOf(api.GET("/gateway/v1/dead-letters/{id}", { params: { path: { id: taskId } }, signal })),
    // It is archived a moment after the task has failed, or was purged.
    retry: 3,
  });
  const stack = letter.data?.history.at(-1)?.stack;
  const isMissing = letter.error instanceof Problem && letter.error.status === 404;
  if (letter.isError && !isMissing) return <Failure error={letter.error} retry={() => void letter.refetch()} />;
  if (stack === null || stack === undefined) return null;
  return (
    <pre className="part-text" tabIndex={0} aria-label={t.stack}>
      {stack}
    </pre>
  );
}
