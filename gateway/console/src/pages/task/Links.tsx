import { useQuery } from "@tanstack/react-query";
import { api, dataOf } from "../../api/client";
import type { components } from "../../api/schema";
import { Failure } from "../../components/Failure";
import { useTexts } from "../../i18n/catalogue";
import { taskTexts } from "./texts";

/** Where else the task may be looked at, if the gateway was told. `version` changes with the starts. */
export function Links({ taskId, version }: { taskId: string; version: string }) {
  const t = useTexts(taskTexts);
  const found = useQuery<components["schemas"]["TaskLinks"]>({
    queryKey: ["task", taskId, "links", version],
    gcTime: 0,
    placeholderData: (before) => before,
    queryFn: ({ signal }) => dataOf(api.GET("/gateway/v1/tasks/{task_id}/links", { params: { path: { task_id: taskId } }, signal })),
  });
  const links = [
    [t.trace, found.data?.trace],
    [t.temporalUi, found.data?.temporal],
  ] as const;
  return (
    <>
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {links.map(([name, address]) =>
        address === null || address === undefined ? null : (
          <a key={name} href={address} target="_blank" rel="noreferrer">
            {name} ↗
          </a>
        ),
      )}
    </>
  );
}
