import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { api, dataOf } from "../../api/client";
import type { components } from "../../api/schema";
import { Detail } from "../../components/Detail";
import { Failure } from "../../components/Failure";
import { Table } from "../../components/Table";
import { shortId } from "../../components/shortId";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { workersTexts } from "./texts";

/** One worker and what it runs. `asked`: when the fleet was read last; this is read again with it. */
export function Opened({ id, asked, close }: { id: string; asked: number; close: () => void }) {
  const t = useTexts(workersTexts);
  const format = useFormat();
  const found = useQuery<components["schemas"]["BusyMember"]>({
    queryKey: ["worker", id, asked],
    gcTime: 0,
    placeholderData: (before) => before,
    queryFn: ({ signal }) => dataOf(api.GET("/gateway/v1/workers/{process_id}", { params: { path: { process_id: id } }, signal })),
  });
  const worker = found.data;
  return (
    <Detail className="part part-notice" title={t.opened(id)} closeText={t.close} close={close}>
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {worker !== undefined && (
        <>
          <p className="part-help">
            {t.types}: {worker.task_types.join(", ") || "–"}
          </p>
          {worker.running.length === 0 ? (
            <p>{t.runsNothing}</p>
          ) : (
            <Table columns={[t.task, t.tenant, t.attempt, t.queue, t.runs]} label={t.opened(id)}>
              {worker.running.map((task) => (
                <tr key={task.task_id}>
                  <td>
                    <Link to="/tasks/$taskId" params={{ taskId: task.task_id }} preload={false}>
                      {task.task_type} <code>{shortId(task.task_id)}</code>
                    </Link>
                  </td>
                  <td>{task.tenant_id ?? "–"}</td>
                  <td>{format.number(task.attempt)}</td>
                  <td>{task.queue ?? "–"}</td>
                  <td>{format.duration(task.seconds)}</td>
                </tr>
              ))}
            </Table>
          )}
        </>
      )}
    </Detail>
  );
}
