import { useFormat } from "../i18n/format";
import { useNow } from "./now";

/** The reader's second may have begun before that of a moment that has just been (milliseconds). */
const JUST_NOW = 3000;

/** How long ago something was; the exact instant is at hand. */
export function Moment({ at }: { at: string }) {
  const format = useFormat();
  const now = useNow();
  const date = new Date(at);
  const ahead = date.getTime() - now.getTime();
  return (
    <time dateTime={at} title={`${format.moment(date)}\n${date.toISOString()}`}>
      {format.relative(date, ahead > 0 && ahead < JUST_NOW ? date : now)}
    </time>
  );
}
