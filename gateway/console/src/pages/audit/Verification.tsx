import { useState } from "react";
import { api, dataOf } from "../../api/client";
import type { components } from "../../api/schema";
import { Button } from "../../components/Button";
import { Failure } from "../../components/Failure";
import { Status } from "../../components/Status";
import { useAct } from "../../components/useAct";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { auditTexts } from "./texts";

/** Whether the record is as it was written, when somebody asks. */
export function Verification() {
  const t = useTexts(auditTexts);
  const format = useFormat();
  const { act, error } = useAct();
  const [isAsking, setAsking] = useState(false);
  const [verdict, setVerdict] = useState<components["schemas"]["LedgerVerdict"] | null>(null);
  const ask = async () => {
    setAsking(true);
    setVerdict(null);
    try {
      setVerdict(await dataOf(api.GET("/gateway/v1/migration/ledger/verification")));
    } finally {
      setAsking(false);
    }
  };
  const entries = format.number(verdict?.entries ?? 0);
  return (
    <div className="part">
      <div>
        <Button onPress={() => act(ask)} isDisabled={isAsking}>
          {t.verify}
        </Button>
      </div>
      {error !== null && <Failure error={error} />}
      <div role="status">
        {isAsking && <p>{t.verifying}</p>}
        {verdict !== null && (
          <>
            <p>
              <Status tone={verdict.is_sound ? "good" : "bad"}>{verdict.is_sound ? t.sound(entries) : t.broken(entries)}</Status>
            </p>
            {verdict.expired_months > 0 && <p className="part-help">{t.months(format.number(verdict.expired_months))}</p>}
            <p className="part-help">
              {t.last}: {t.entry(format.number(verdict.last_id))}, <code>{verdict.last_hash}</code>
            </p>
            <ul>
              {verdict.breaks.map((one) => (
                <li key={`${one.entry_id} ${one.problem}`} className="part-error">
                  {t.entry(format.number(one.entry_id))}: {visible(one.problem)}
                </li>
              ))}
            </ul>
          </>
        )}
      </div>
    </div>
  );
}
