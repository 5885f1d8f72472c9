import { useState } from "react";
import { api, dataOf } from "../../api/client";
import type { components } from "../../api/schema";
import { Confirm } from "../../components/Confirm";
import { Field } from "../../components/Field";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import type { MadeKey } from "./KeysPage";
import { keysTexts } from "./texts";

const USUAL = "24";
const MOST_HOURS = 2160;

/** Asks how long the old key goes on beside the new one. */
export function RotateKey({ shown, made }: { shown: components["schemas"]["KeyView"]; made: (key: MadeKey) => void }) {
  const t = useTexts(keysTexts);
  const [hours, setHours] = useState(USUAL);
  const overlap = hours.trim() === "" ? NaN : Number(hours);
  const isWrong = !(overlap >= 0 && overlap <= MOST_HOURS);
  const send = async (why: string) => {
    const body = { overlap_seconds: overlap * 3600, why: why || null };
    made(await dataOf(api.POST("/gateway/v1/keys/{key_id}/rotate", { params: { path: { key_id: shown.key_id } }, body })));
  };
  return (
    <Confirm
      label={t.rotate}
      about={visible(shown.name)}
      ask={t.rotateAsk(visible(shown.name))}
      leave={t.leave}
      weight="plain"
      isReady={!isWrong}
      why={t.why}
      hasFields
      opened={() => setHours(USUAL)}
      confirm={send}
    >
      <p>{t.rotateHelp}</p>
      <Field label={t.overlap} help={t.overlapHelp} value={hours} onChange={setHours} inputMode="decimal" error={isWrong ? t.overlapWrong : undefined} autoFocus />
    </Confirm>
  );
}
