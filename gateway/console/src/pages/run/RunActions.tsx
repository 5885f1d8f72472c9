import { useState } from "react";
import { api, dataOf } from "../../api/client";
import { may, useSession } from "../../api/session";
import { Button } from "../../components/Button";
import { Confirm } from "../../components/Confirm";
import { Failure } from "../../components/Failure";
import { Field } from "../../components/Field";
import { useAct } from "../../components/useAct";
import { useTexts } from "../../i18n/catalogue";
import { type RunSummary, isOver } from "./run";
import { runTexts } from "./texts";

/** What the reader may do with the run in its present state. */
export function RunActions({ run }: { run: RunSummary }) {
  const t = useTexts(runTexts);
  const session = useSession();
  const { act, once, error } = useAct();
  const [reached, setReached] = useState<readonly string[] | null>(null);
  if (!may(session, "steer", run)) return null;
  const path = { params: { path: { run_id: run.run_id } } };
  return (
    <>
      {reached !== null && <p role="status">{reached.length === 0 ? t.kept : t.reached(reached.join(", "))}</p>}
      {!isOver(run) && <SendSignal runId={run.run_id} sent={setReached} />}
      {!isOver(run) && (
        <Confirm label={t.cancel} ask={t.cancelAsk} leave={t.leave} confirm={() => act(() => api.POST("/gateway/v1/dag-runs/{run_id}/cancel", path))}>
          <p>{t.cancelHelp}</p>
        </Confirm>
      )}
      {(run.status === "failed" || run.status === "cancelled") && run.parent_run_id === null && (
        <Button weight="primary" onPress={() => once(() => api.POST("/gateway/v1/dag-runs/{run_id}/retry", path))}>
          {t.retry}
        </Button>
      )}
      {error !== null && <Failure error={error} />}
    </>
  );
}

/** `sent` is told which nodes it has reached. */
function SendSignal({ runId, sent }: { runId: string; sent: (reached: readonly string[]) => void }) {
  const t = useTexts(runTexts);
  const [name, setName] = useState("");
  const [payload, setPayload] = useState("null");
  const [fault, setFault] = useState<string>();

  const send = async () => {
    try {
      JSON.parse(payload);
    } catch {
      setFault(t.notJson);
      return false;
    }
    setFault(undefined);
    const path = { run_id: runId, name: name.trim() };
    // As it was typed: a number may have more digits than one of JavaScript has.
    const request = api.POST("/gateway/v1/dag-runs/{run_id}/signals/{name}", { params: { path }, body: null, bodySerializer: () => payload });
    sent((await dataOf(request)).nodes);
    return true;
  };

  return (
    <Confirm label={t.send} ask={t.send} leave={t.close} weight="plain" isReady={name.trim() !== ""} hasFields confirm={send}>
      <p>{t.sendHelp}</p>
      <Field label={t.signalName} value={name} onChange={setName} isRequired autoFocus />
      <Field label={t.payload} value={payload} onChange={setPayload} error={fault} />
    </Confirm>
  );
}
