import { type SyntheticEvent, useState } from "react";
import { Dialog, DialogTrigger, Heading, Modal, ModalOverlay } from "react-aria-components";
import { api, dataOf } from "../../api/client";
import type { components } from "../../api/schema";
import { Button } from "../../components/Button";
import { Failure } from "../../components/Failure";
import { Field } from "../../components/Field";
import { useTexts } from "../../i18n/catalogue";
import { deadLettersTexts } from "./texts";

/** Minutes, until another number is given. */
const USUAL = "10";
const WEEK_IN_MINUTES = 7 * 24 * 60;

interface RedriveDialogProps {
  label: string;
  which: components["schemas"]["RedriveByFilter"]["filter"];
  begun: (operationId: string) => void;
}

/** Asks over which time dead letters are to be run again, and why. */
export function RedriveDialog({ label, which, begun }: RedriveDialogProps) {
  const t = useTexts(deadLettersTexts);
  const [minutes, setMinutes] = useState(USUAL);
  const [why, setWhy] = useState("");
  const [error, setError] = useState<unknown>(null);
  const [isSending, setSending] = useState(false);
  const spread = minutes.trim() === "" ? NaN : Number(minutes);
  const isWrong = !(spread >= 0 && spread <= WEEK_IN_MINUTES);

  const begin = () => {
    setMinutes(USUAL);
    setWhy("");
    setError(null);
  };
  const send = async (event: SyntheticEvent, close: () => void) => {
    event.preventDefault();
    if (isWrong) return;
    setError(null);
    setSending(true);
    try {
      const operation = await dataOf(
        api.POST("/gateway/v1/dead-letters/redrive", {
          body: { filter: which, spread_seconds: spread * 60, dry_run: false, why: why.trim() || null },
        }),
      );
      close();
      begun(operation.operation_id);
    } catch (problem) {
      setError(problem);
    } finally {
      setSending(false);
    }
  };

  return (
    <DialogTrigger onOpenChange={begin}>
      <Button weight="primary">{label}</Button>
      <ModalOverlay className="overlay" isDismissable>
        <Modal>
          <Dialog className="dialog">
            {({ close }) => (
              <form className="part-form" noValidate onSubmit={(event) => void send(event, close)}>
                <Heading slot="title">{t.redriveAsk}</Heading>
                <p>{t.redriveHelp}</p>
                <Field label={t.spread} help={t.spreadHelp} value={minutes} onChange={setMinutes} inputMode="decimal" error={isWrong ? t.spreadWrong : undefined} autoFocus />
                <Field label={t.why} value={why} onChange={setWhy} maxLength={1000} />
                {error !== null && <Failure error={error} />}
                <div className="dialog-actions">
                  <Button onPress={close}>{t.cancel}</Button>
                  <Button type="submit" weight="primary" isDisabled={isWrong || isSending}>
                    {label}
                  </Button>
                </div>
              </form>
            )}
          </Dialog>
        </Modal>
      </ModalOverlay>
    </DialogTrigger>
  );
}
