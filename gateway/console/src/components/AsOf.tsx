import { catalogue, useTexts } from "../i18n/catalogue";
import { useFormat } from "../i18n/format";
import "./Part.css";

/** What no stream tells of is looked at so often (milliseconds). */
const REFRESH = 5000;

/** For a query that is read page by page: it is read again by itself while its first page is all that is shown. */
export function whileShort(query: { state: { data?: { pages: readonly unknown[] } | undefined } }): number | false {
  return (query.state.data?.pages.length ?? 0) > 1 ? false : REFRESH;
}

const texts = catalogue({
  en: {
    again: (clock: string) => `As of ${clock}, and looked at every 5 seconds.`,
    still: (clock: string) => `As of ${clock}. It is not looked at again while more than one page is shown.`,
  },
  zh: {
    again: (clock: string) => `截至 ${clock}，每 5 秒读取一次。`,
    still: (clock: string) => `截至 ${clock}。显示多页时不再自动读取。`,
  },
});

/** Of what time the figures of such a query are. */
export function AsOf({ found }: { found: { dataUpdatedAt: number; data: { pages: readonly unknown[] } | undefined } }) {
  const t = useTexts(texts);
  const format = useFormat();
  if (found.data === undefined) return null;
  const clock = format.clock(new Date(found.dataUpdatedAt));
  return <p className="part-help">{found.data.pages.length > 1 ? t.still(clock) : t.again(clock)}</p>;
}
