import { useQuery } from "@tanstack/react-query";
import { api, dataOf } from "../api/client";
import type { components } from "../api/schema";
import { may, useSession } from "../api/session";
import { catalogue, useTexts } from "../i18n/catalogue";
import { useFormat } from "../i18n/format";
import { type Topic, useNews } from "../streams/useNews";
import { useReadAgain } from "../streams/useReadAgain";
import { Button } from "./Button";
import { Confirm } from "./Confirm";
import { Failure } from "./Failure";
import { Status, type Tone } from "./Status";
import { useAct } from "./useAct";
import { visible } from "./visible";
import "./Part.css";
import "./OperationProgress.css";

const texts = catalogue({
  en: {
    abort: "Abort",
    goOn: "Let it go on",
    dismiss: "Close",
    running: "running",
    completed: "completed",
    aborted: "aborted",
    skipped: (count: string) => `${count} skipped`,
    failed: (count: string) => `${count} failed`,
  },
  zh: {
    abort: "中止",
    goOn: "继续执行",
    dismiss: "关闭",
    running: "进行中",
    completed: "已完成",
    aborted: "已中止",
    skipped: (count: string) => `跳过 ${count} 个`,
    failed: (count: string) => `失败 ${count} 个`,
  },
});

const TONES: Record<"running" | "completed" | "aborted", Tone> = { running: "busy", completed: "good", aborted: "warn" };

const OPERATIONS: readonly Topic[] = ["operation"];

/** What an operation is called where it was begun. */
export interface OperationTexts {
  operation: string;
  operationOver: string;
  abortAsk: string;
  abortHelp: string;
  progress: (done: string, total: string) => string;
}

interface OperationProgressProps {
  id: string;
  t: OperationTexts;
  help?: string;
  close: () => void;
}

/** How far an operation is, and its end before its time. */
export function OperationProgress({ id, t: own, help, close }: OperationProgressProps) {
  const t = useTexts(texts);
  const format = useFormat();
  const session = useSession();
  const key = ["operation", id];
  const path = { params: { path: { operation_id: id } } };
  const found = useQuery<components["schemas"]["Operation"]>({
    queryKey: key,
    gcTime: 0,
    queryFn: ({ signal }) => dataOf(api.GET("/gateway/v1/operations/{operation_id}", { ...path, signal })),
  });
  const readAgain = useReadAgain(key);
  const { act, error } = useAct(readAgain);
  const isRunning = found.data?.state === "running";
  useNews(isRunning ? OPERATIONS : [], readAgain);
  const data = found.data;
  const closed = () => {
    // The button goes with the part: who pressed it by keyboard goes on at the page.
    document.getElementById("content")?.focus({ preventScroll: true });
    close();
  };
  return (
    <section className="part operation" aria-labelledby="operation">
      <div className="page-head">
        <h2 id="operation">
          {isRunning ? own.operation : own.operationOver} {data !== undefined && <Status tone={TONES[data.state]}>{t[data.state]}</Status>}
        </h2>
        <div className="page-head-actions">
          {isRunning && may(session, "steer") && (
            <Confirm label={t.abort} ask={own.abortAsk} leave={t.goOn} confirm={() => act(() => api.POST("/gateway/v1/operations/{operation_id}/abort", path))}>
              <p>{own.abortHelp}</p>
            </Confirm>
          )}
          <Button weight="bare" onPress={closed}>
            {t.dismiss}
          </Button>
        </div>
      </div>
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {error !== null && <Failure error={error} />}
      {data !== undefined && (
        <>
          <div className="operation-progress" role="status">
            <progress aria-label={own.operationOver} max={Math.max(1, data.total)} value={data.done + data.skipped + data.failed} />
            <span>
              {[
                own.progress(format.number(data.done), format.number(data.total)),
                ...(data.skipped > 0 ? [t.skipped(format.number(data.skipped))] : []),
                ...(data.failed > 0 ? [t.failed(format.number(data.failed))] : []),
              ].join(", ")}
            </span>
          </div>
          {help !== undefined && <p className="part-help">{help}</p>}
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
