import { useQuery } from "@tanstack/react-query";
import { useEffect, useEffectEvent } from "react";
import { api, dataOf } from "../../api/client";
import type { components } from "../../api/schema";
import { may, useSession } from "../../api/session";
import { Button } from "../../components/Button";
import { Confirm } from "../../components/Confirm";
import { Failure } from "../../components/Failure";
import { Status, type Tone } from "../../components/Status";
import { useAct } from "../../components/useAct";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { useReadAgain } from "../../streams/useReadAgain";
import { deadLettersTexts } from "./texts";

const TONES: Record<"running" | "completed" | "aborted", Tone> = { running: "busy", completed: "good", aborted: "warn" };
/** No stream tells of operations (milliseconds). */
const REFRESH = 5000;

/** How far a redrive is. `news`: another number when tasks have changed, as they do by it. */
export function Redrive({ id, news, close }: { id: string; news: number; close: () => void }) {
  const t = useTexts(deadLettersTexts);
  const format = useFormat();
  const session = useSession();
  const key = ["operation", id];
  const path = { params: { path: { operation_id: id } } };
  const found = useQuery<components["schemas"]["Operation"]>({
    queryKey: key,
    gcTime: 0,
    refetchInterval: (query) => (query.state.data?.state === "running" ? REFRESH : false),
    queryFn: ({ signal }) => dataOf(api.GET("/gateway/v1/operations/{operation_id}", { ...path, signal })),
  });
  const readAgain = useReadAgain(key);
  const { act, error } = useAct(readAgain);
  const isRunning = found.data?.state === "running";
  const read = useEffectEvent(() => {
    if (isRunning) readAgain();
  });
  useEffect(() => read(), [news]);
  const data = found.data;
  return (
    <section className="part letters-operation" aria-labelledby="letters-operation">
      <div className="page-head">
        <h2 id="letters-operation">
          {isRunning ? t.operation : t.operationOver} {data !== undefined && <Status tone={TONES[data.state]}>{t[data.state]}</Status>}
        </h2>
        <div className="page-head-actions">
          {isRunning && may(session, "steer") && (
            <Confirm label={t.abort} ask={t.abortAsk} leave={t.goOn} confirm={() => act(() => api.POST("/gateway/v1/operations/{operation_id}/abort", path))}>
              <p>{t.abortHelp}</p>
            </Confirm>
          )}
          <Button weight="bare" onPress={close}>
            {t.dismiss}
          </Button>
        </div>
      </div>
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {error !== null && <Failure error={error} />}
      {data !== undefined && (
        <>
          <div className="letters-progress" role="status">
            <progress aria-label={t.operationOver} max={Math.max(1, data.total)} value={data.done + data.skipped + data.failed} />
            <span>
              {[
                t.progress(format.number(data.done), format.number(data.total)),
                ...(data.skipped > 0 ? [t.skipped(format.number(data.skipped))] : []),
                ...(data.failed > 0 ? [t.failed(format.number(data.failed))] : []),
              ].join(", ")}
            </span>
          </div>
          <p className="part-help">{t.spreading}</p>
          {data.errors.length > 0 && (
            <ul>
              {data.errors.map((one) => (
                <li key={one.task_id}>
                  <code>{one.task_id}</code> {visible(one.reason)}
                </li>
              ))}
            </ul>
          )}
        </>
      )}
    </section>
  );
}
