import { useQuery } from "@tanstack/react-query";
import { api, dataOf } from "../../api/client";
import { Failure } from "../../components/Failure";
import { Moment } from "../../components/Moment";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { taskTexts } from "./texts";

/** Each start of a task: what decided where it went, and who had set that. `version` changes with the starts. */
export function Why({ taskId, version }: { taskId: string; version: string }) {
  const t = useTexts(taskTexts);
  const format = useFormat();
  const why = useQuery({
    queryKey: ["task", taskId, "why", version],
    queryFn: ({ signal }) => dataOf(api.GET("/gateway/v1/tasks/{task_id}/why", { params: { path: { task_id: taskId } }, signal })),
    placeholderData: (before) => before,
    gcTime: 0,
  });
  return (
    <section className="part" aria-labelledby="task-why">
      <h2 id="task-why">{t.why}</h2>
      {why.isError && <Failure error={why.error} retry={() => void why.refetch()} />}
      {why.data?.starts.length === 0 && <p>{t.neverStarted}</p>}
      {why.data !== undefined && (
        <>
          <ol className="task-starts">
            {why.data.starts.map((start) => (
              <li key={`${start.epoch} ${start.attempt ?? 0}`}>
                <h3>
                  {t.start(format.number(start.epoch))}: {start.backend ?? "–"}, {start.stage ?? "–"}
                </h3>
                <dl className="facts">
                  <dt>{t.rule}</dt>
                  <dd>{start.rule ?? "–"}</dd>
                  <dt>{t.entry}</dt>
                  <dd>
                    {start.entry === null ? (
                      t.expired
                    ) : (
                      <>
                        {start.entry.who ?? t.nobody} ({start.entry.source}, {start.entry.scope}), <Moment at={start.entry.at} />: <bdi>{visible(start.entry.why)}</bdi>
                      </>
                    )}
                  </dd>
                </dl>
              </li>
            ))}
          </ol>
          <p className="part-help">{t.stageNow(why.data.stage_now, why.data.rule_now)}</p>
        </>
      )}
    </section>
  );
}
