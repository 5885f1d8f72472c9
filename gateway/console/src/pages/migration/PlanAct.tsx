import { Confirm } from "../../components/Confirm";
import { useTexts } from "../../i18n/catalogue";
import { planTexts } from "./planTexts";

export type PlanActName = "start" | "pause" | "resume" | "approve" | "abort" | "rollback";

/** A button that asks why before it does something to a plan. */
export function PlanAct({ plan, name, send }: { plan: string; name: PlanActName; send: (why: string) => void }) {
  const t = useTexts(planTexts);
  return (
    <Confirm
      label={t[`do_${name}`]}
      ask={`${t[`do_${name}`]}: ${plan}`}
      leave={t.leave}
      weight={name === "abort" || name === "rollback" ? "danger" : "plain"}
      why={t.why}
      isWhyRequired
      confirm={send}
    >
      <p>{t[`help_${name}`]}</p>
    </Confirm>
  );
}
