import { useState } from "react";
import { api, dataOf } from "../../api/client";
import type { components } from "../../api/schema";
import { Confirm } from "../../components/Confirm";
import { Field } from "../../components/Field";
import { useTexts } from "../../i18n/catalogue";
import { deadLettersTexts } from "./texts";

/** Minutes, until another number is given. */
const USUAL = "10";
const WEEK_IN_MINUTES = 7 * 24 * 60;

interface RedriveDialogProps {
  label: string;
  /** On the button that confirms. */
  sure: string;
  which: components["schemas"]["RedriveByFilter"]["filter"];
  opened: () => void;
  begun: (operationId: string) => void;
}

/** Asks over which time dead letters are to be run again, and why. */
export function RedriveDialog({ label, sure, which, opened, begun }: RedriveDialogProps) {
  const t = useTexts(deadLettersTexts);
  const [minutes, setMinutes] = useState(USUAL);
  const spread = minutes.trim() === "" ? NaN : Number(minutes);
  const isWrong = !(spread >= 0 && spread <= WEEK_IN_MINUTES);
  const send = async (why: string) => {
    const body = { filter: which, spread_seconds: spread * 60, dry_run: false, why: why || null };
    begun((await dataOf(api.POST("/gateway/v1/dead-letters/redrive", { body }))).operation_id);
  };
  return (
    <Confirm
      label={label}
      sure={sure}
      ask={t.redriveAsk}
      leave={t.cancel}
      weight="primary"
      isReady={!isWrong}
      why={t.why}
      hasFields
      opened={() => {
        setMinutes(USUAL);
        opened();
      }}
      confirm={send}
    >
      <p>{t.redriveHelp}</p>
      <Field label={t.spread} help={t.spreadHelp} value={minutes} onChange={setMinutes} inputMode="decimal" error={isWrong ? t.spreadWrong : undefined} autoFocus />
    </Confirm>
  );
}
