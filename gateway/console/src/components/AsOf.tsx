import { catalogue, useTexts } from "../i18n/catalogue";
import { useFormat } from "../i18n/format";
import { Button } from "./Button";
import type { LivePages } from "./useLivePages";
import "./Part.css";

const texts = catalogue({
  en: {
    live: (clock: string) => `As of ${clock}. Changes are shown as they happen.`,
    pointedOut: (clock: string) => `As of ${clock}. While more than one page is shown, changes are only pointed out.`,
    behind: (clock: string) => `Something has changed since ${clock}.`,
    again: "Read again",
  },
  zh: {
    live: (clock: string) => `截至 ${clock}。变更会即时显示。`,
    pointedOut: (clock: string) => `截至 ${clock}。显示多页时，变更只作提示。`,
    behind: (clock: string) => `${clock} 之后有变更。`,
    again: "重新读取",
  },
});

interface AsOfProps {
  found: { dataUpdatedAt: number; data: { pages: readonly unknown[] } | undefined };
  live: LivePages;
  /** What is not told as it changes. */
  besides?: string;
}

/** Of what time is what such a query shows, and whether there is more. */
export function AsOf({ found, live, besides }: AsOfProps) {
  const t = useTexts(texts);
  const format = useFormat();
  if (found.data === undefined) return null;
  const clock = format.clock(new Date(found.dataUpdatedAt));
  return (
    <div>
      <div role="status" className="part-line">
        {live.isBehind && (
          <>
            {t.behind(clock)} <Button onPress={live.readAgain}>{t.again}</Button>
          </>
        )}
      </div>
      <p className="part-help">
        {found.data.pages.length > 1 ? t.pointedOut(clock) : t.live(clock)} {besides}
      </p>
    </div>
  );
}
