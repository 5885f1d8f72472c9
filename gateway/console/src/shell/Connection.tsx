import { Button } from "../components/Button";
import { useTexts } from "../i18n/catalogue";
import { useFormat } from "../i18n/format";
import { useInterruption } from "../streams/connection";
import { shellTexts } from "./texts";

/** Says so while something that is shown is not live. */
export function Connection() {
  const t = useTexts(shellTexts);
  const format = useFormat();
  const now = useInterruption();
  return (
    <div className="shell-connection" role="status">
      {now !== null && (
        <p>
          {now.isRefused ? t.refused(format.clock(now.since)) : t.cut(format.clock(now.since))}{" "}
          {now.isRefused && <Button onPress={() => location.reload()}>{t.reload}</Button>}
        </p>
      )}
    </div>
  );
}
