import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, dataOf } from "../../api/client";
import type { components } from "../../api/schema";
import { may, useSession } from "../../api/session";
import { Choice } from "../../components/Choice";
import { Confirm } from "../../components/Confirm";
import { Failure } from "../../components/Failure";
import { useNow } from "../../components/now";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { bulkTexts } from "./bulkTexts";
import type { TaskSelection } from "./selection";

type Action = components["schemas"]["NewOperation"]["action"];

const ACTIONS: readonly Action[] = ["cancel", "retry", "redrive", "reprioritise"];
const PRIORITIES = ["1", "2", "3", "4", "5"] as const;
type Priority = (typeof PRIORITIES)[number];

/** Asks what is to be done to all tasks of a selection, and says to how many that would be. `filter`: the selection as it was entered. */
export function BulkAction({ selection, filter, begun }: { selection: TaskSelection; filter: string; begun: (operationId: string) => void }) {
  const t = useTexts(bulkTexts);
  const format = useFormat();
  const session = useSession();
  const [action, setAction] = useState<Action>("cancel");
  const [priority, setPriority] = useState<Priority>("1");
  const now = useNow();
  const [asked, setAsked] = useState<string | null>(null);
  // What comes after the preview is not meant.
  const body = {
    action,
    filter: { ...selection, created_before: selection.created_before ?? asked },
    priority: action === "reprioritise" ? Number(priority) : null,
  };
  const preview = useQuery({
    queryKey: ["bulk", body],
    enabled: asked !== null,
    gcTime: 0,
    queryFn: ({ signal }) => dataOf(api.POST("/gateway/v1/operations", { body: { ...body, dry_run: true }, signal })),
  });
  const total = preview.data?.total;
  if (!may(session, "steer", { tenant_id: selection.tenant_id ?? null, project_id: selection.project_id ?? null })) return null;
  return (
    <Confirm
      label={t.act}
      ask={t.act}
      leave={t.leave}
      sure={t.begin}
      weight="plain"
      isReady={(total ?? 0) > 0}
      why={t.why}
      hasFields
      opened={() => setAsked(now.toISOString())}
      confirm={async (why) => begun((await dataOf(api.POST("/gateway/v1/operations", { body: { ...body, dry_run: false, why: why || null } }))).operation_id)}
    >
      <p>{t.actHelp}</p>
      <p>
        {t.filter} <code>{visible(filter)}</code>
      </p>
      <Choice label={t.action} value={action} options={ACTIONS.map((one) => [one, t[one]] as const)} onChange={setAction} autoFocus />
      {action === "reprioritise" && (
        <Choice label={t.priority} value={priority} options={PRIORITIES.map((one) => [one, one] as const)} onChange={setPriority} />
      )}
      <p role="status" className="bulk-preview">
        {preview.isPending ? t.previewing : total === 0 ? t.previewNone : total === undefined ? "" : t.preview(format.number(total))}
      </p>
      {preview.isError && <Failure error={preview.error} retry={() => void preview.refetch()} />}
    </Confirm>
  );
}
