import type { components } from "../../api/schema";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { schedulesTexts } from "./texts";

type ScheduleView = components["schemas"]["ScheduleView"];
type Spec = ScheduleView["specs"][number];

/** When a schedule fires, as it was defined. */
export function Times({ schedule }: { schedule: ScheduleView }) {
  const t = useTexts(schedulesTexts);
  const format = useFormat();
  const say = (spec: Spec) => {
    if (spec.cron != null) return spec.cron;
    if (spec.every_seconds != null) return t.every(format.duration(spec.every_seconds));
    if (spec.at != null) return t.moments(format.number(spec.at.length));
    const { month, day, day_of_week, hour, minute, second } = spec.calendar ?? {};
    return [second ?? 0, minute ?? 0, hour ?? 0, day ?? "*", month ?? "*", day_of_week ?? "*"].join(" ");
  };
  return (
    <>
      {schedule.specs.map((spec) => (
        <code key={JSON.stringify(spec)} className="schedule-spec">
          {say(spec)} {spec.timezone ?? schedule.timezone}
        </code>
      ))}
    </>
  );
}
