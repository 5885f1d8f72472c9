import { useQuery } from "@tanstack/react-query";
import { type SyntheticEvent, useState } from "react";
import { Dialog, Heading, Modal, ModalOverlay } from "react-aria-components";
import { api, dataOf } from "../../api/client";
import { Problem } from "../../api/problem";
import { Button } from "../../components/Button";
import { Failure } from "../../components/Failure";
import { Field } from "../../components/Field";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { STAGES, type Stage, type TenantView, canInsist, isStage } from "./stages";
import { migrationTexts } from "./texts";

interface MoveDialogProps {
  tenant: TenantView;
  /** Where it was dropped; null: to be chosen. */
  to: Stage | null;
  /** Throws a `Problem`. */
  move: (to: Stage, why: string, force: boolean) => Promise<void>;
  close: () => void;
}

/** Asks where to and why, and shows what that would have done. */
export function MoveDialog({ tenant, to, move, close }: MoveDialogProps) {
  const t = useTexts(migrationTexts);
  const [stage, setStage] = useState<Stage | null>(to);
  const [why, setWhy] = useState("");
  const [isWhyMissing, setWhyMissing] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [isSending, setSending] = useState(false);

  const send = async (force: boolean) => {
    if (stage === null || isSending) return;
    if (why.trim() === "") {
      setWhyMissing(true);
      return;
    }
    setSending(true);
    setError(null);
    try {
      await move(stage, why.trim(), force);
      close();
    } catch (problem) {
      setError(problem);
      setSending(false);
    }
  };
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    void send(false);
  };

  return (
    <ModalOverlay className="overlay" isDismissable isOpen onOpenChange={close}>
      <Modal>
        <Dialog className="dialog">
          <Heading slot="title">{t.moveTitle(tenant.tenant_id)}</Heading>
          <form className="move-form" onSubmit={submit}>
            <label className="move-stage">
              <span>{t.to}</span>
              <select
                value={stage ?? ""}
                disabled={isSending}
                onChange={(event) => {
                  setStage(isStage(event.target.value) ? event.target.value : null);
                  // It was about the other one.
                  setError(null);
                }}
              >
                {stage === null && <option value="" />}
                {STAGES.filter((one) => one !== tenant.stage).map((one) => (
                  <option key={one} value={one}>
                    {one}: {t[one]}
                  </option>
                ))}
              </select>
            </label>
            <Field label={t.why} help={t.whyHelp} value={why} onChange={setWhy} maxLength={1000} autoFocus error={isWhyMissing && why.trim() === "" ? t.whyMissing : undefined} />
            {stage !== null && <Preview tenantId={tenant.tenant_id} stage={stage} />}
            {error !== null && <Failure error={error} />}
            <div className="dialog-actions">
              <Button onPress={close}>{t.cancel}</Button>
              {canInsist(error) && (
                <Button weight="danger" onPress={() => void send(true)}>
                  {t.insist}
                </Button>
              )}
              <Button type="submit" weight="primary" isDisabled={isSending || stage === null}>
                {t.moveTo(stage ?? "…")}
              </Button>
            </div>
          </form>
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}

function Preview({ tenantId, stage }: { tenantId: string; stage: Stage }) {
  const t = useTexts(migrationTexts);
  const format = useFormat();
  const preview = useQuery({
    queryKey: ["preview", tenantId, stage],
    gcTime: 0,
    retry: (count, error) => error instanceof Problem && error.status === 429 && count < 3,
    queryFn: ({ signal }) =>
      dataOf(
        api.POST("/gateway/v1/migration/preview", {
          body: { tenant_id: tenantId, stage, everything: false, unit: "tenant", hours: 24 },
          signal,
        }),
      ),
  });
  const step = preview.data?.steps.at(-1);
  const rows: [string, number][] =
    preview.data === undefined || step === undefined
      ? []
      : [
          [t.toTemporal, step.to_temporal.tasks],
          [t.toRedis, step.to_redis.tasks],
          [t.overridden, step.overridden],
          [t.notReady, preview.data.starts.not_ready],
        ];
  return (
    <section className="move-preview" aria-labelledby="move-preview">
      <h3 id="move-preview">{t.preview}</h3>
      <div role="status">
        {preview.isPending && <p>{t.previewing}</p>}
        {preview.isError && <Failure error={preview.error} retry={() => void preview.refetch()} />}
        {rows.length > 0 && (
          <dl>
            {rows.map(([name, count]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{format.number(count)}</dd>
              </div>
            ))}
          </dl>
        )}
      </div>
      {preview.data?.notes.map((note) => <p key={note}>{note}</p>)}
    </section>
  );
}
