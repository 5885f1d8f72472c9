import { useFormat } from "../i18n/format";
import { useNow } from "./now";

/** How long ago something was; the exact instant is at hand. */
export function Moment({ at }: { at: string }) {
  const format = useFormat();
  const now = useNow();
  const date = new Date(at);
  return (
    <time dateTime={at} title={`${format.moment(date)}\n${date.toISOString()}`}>
      {format.relative(date, now)}
    </time>
  );
}
