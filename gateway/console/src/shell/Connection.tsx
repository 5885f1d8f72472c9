import { useTexts } from "../i18n/catalogue";
import { useFormat } from "../i18n/format";
import { useCutSince } from "../streams/connection";
import { shellTexts } from "./texts";

/** Says so while something that is shown is not live. */
export function Connection() {
  const t = useTexts(shellTexts);
  const format = useFormat();
  const since = useCutSince();
  return (
    <div className="shell-connection" role="status">
      {since !== null && <p>{t.cut(format.clock(since))}</p>}
    </div>
  );
}
