import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, dataOf } from "../../api/client";
import { jsonText } from "../../api/json";
import type { components } from "../../api/schema";
import { may, useSession } from "../../api/session";
import { Failure } from "../../components/Failure";
import { Moment } from "../../components/Moment";
import { Button } from "../../components/Button";
import { Table } from "../../components/Table";
import { useNow } from "../../components/now";
import { Status, type Tone } from "../../components/Status";
import { useAct } from "../../components/useAct";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { useNews } from "../../streams/useNews";
import { useReadAgain } from "../../streams/useReadAgain";
import { PlanAct, type PlanActName } from "./PlanAct";
import { planTexts } from "./planTexts";
import "../../components/Part.css";

type PlanSummary = components["schemas"]["PlanSummary"];
type PlanWave = components["schemas"]["PlanWave"];

export const PLANS = ["plans"];

const TONES: Record<PlanSummary["state"], Tone> = {
  draft: "quiet",
  running: "busy",
  baking: "busy",
  held: "warn",
  paused: "warn",
  rolling_back: "bad",
  done: "good",
  aborted: "quiet",
};
/** What the gateway takes in each state; the rest it refuses, and says why. */
const ACTS: Record<PlanSummary["state"], readonly PlanActName[]> = {
  draft: ["start", "abort"],
  running: ["pause", "rollback", "abort"],
  baking: ["pause", "approve", "rollback", "abort"],
  held: ["pause", "approve", "rollback", "abort"],
  paused: ["resume", "rollback", "abort"],
  rolling_back: ["abort"],
  done: ["rollback"],
  aborted: ["rollback"],
};

function actsOf(plan: PlanSummary): readonly PlanActName[] {
  const present = plan.waves[(plan.wave ?? 1) - 1];
  const hasMoved = plan.waves.some((wave) => wave.moved > 0 || wave.tasks_percent !== null);
  return ACTS[plan.state].filter((one) => (one === "approve" ? present?.gates.includes("approval") : one !== "rollback" || hasMoved));
}

/** Plans, newest first: waves and gates of each in their time, why it stands where it stands, and what can be done. */
export function Plans() {
  const t = useTexts(planTexts);
  const format = useFormat();
  const found = useQuery({
    queryKey: PLANS,
    gcTime: 0,
    queryFn: ({ signal }) => dataOf(api.GET("/gateway/v1/migration/plans", { signal })),
  });
  useNews(["plan"], useReadAgain(PLANS));
  const plans = found.data?.plans ?? [];
  return (
    <section className="part" aria-labelledby="plans">
      <h2 id="plans">{t.plans}</h2>
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {found.data !== undefined && plans.length === 0 && <p>{t.none}</p>}
      {plans.map((plan) => (
        <OnePlan key={plan.name} plan={plan} />
      ))}
      {plans.length > 0 && <p className="part-help">{t.figures(format.clock(new Date(found.dataUpdatedAt)))}</p>}
    </section>
  );
}

function OnePlan({ plan }: { plan: PlanSummary }) {
  const t = useTexts(planTexts);
  const session = useSession();
  const readAgain = useReadAgain(PLANS);
  const { act, error } = useAct(readAgain);
  const path = { params: { path: { name: plan.name } } };
  return (
    <article className="plan" aria-labelledby={`plan-${plan.name}`}>
      <div className="page-head">
        <h3 id={`plan-${plan.name}`}>
          {plan.name} <Status tone={TONES[plan.state]}>{t[plan.state]}</Status>
        </h3>
        {may(session, "operate") && (
          <div className="page-head-actions">
            {actsOf(plan).map((one) => (
              <PlanAct
                key={one}
                plan={plan.name}
                name={one}
                send={(why) =>
                  act(() =>
                    api.POST("/gateway/v1/migration/plans/{name}/acts", {
                      ...path,
                      body: { act: one, why, ...(one === "approve" ? { wave: plan.wave ?? 1 } : {}) },
                    }),
                  )
                }
              />
            ))}
          </div>
        )}
      </div>
      <p className={plan.state === "held" ? "plan-held" : undefined} dir="auto">
        {visible(plan.says)}
      </p>
      <p className="part-help" dir="auto">
        {t.because(visible(plan.why))}
      </p>
      {error !== null && <Failure error={error} />}
      <div className="plan-waves" role="group" aria-label={t.wavesOf(plan.name)} tabIndex={0}>
        <Table columns={[t.wave, t.stage, t.tenants, t.moved, t.waiting, t.others, t.bake, t.gates]} label={t.wavesOf(plan.name)}>
          {plan.waves.map((wave, place) => (
            <Wave key={place} plan={plan} wave={wave} number={place + 1} />
          ))}
        </Table>
      </div>
      <Steps plan={plan} />
    </article>
  );
}

function Wave({ plan, wave, number }: { plan: PlanSummary; wave: PlanWave; number: number }) {
  const t = useTexts(planTexts);
  const format = useFormat();
  const now = useNow();
  const isPresent = plan.wave === number;
  const since = isPresent && plan.moved_at !== null ? Math.max(0, (now.getTime() - Date.parse(plan.moved_at)) / 1000) : null;
  const others = [
    ...(wave.left > 0 ? [t.left(format.number(wave.left))] : []),
    ...(wave.back > 0 ? [t.back(format.number(wave.back))] : []),
    ...(wave.skipped > 0 ? [t.skipped(format.number(wave.skipped))] : []),
    ...(wave.by_override > 0 ? [t.byOverride(format.number(wave.by_override))] : []),
  ];
  return (
    <tr aria-current={isPresent ? "step" : undefined} className={isPresent ? "plan-present" : undefined}>
      <th scope="row">
        {format.number(number)} {wave.name === null ? null : visible(wave.name)}
        {isPresent && <span className="part-help"> {t.present}</span>}
      </th>
      <td>{wave.stage}</td>
      <td>{wave.tasks_percent === null ? format.number(wave.tenants) : t.share(format.number(wave.tasks_percent))}</td>
      <td>
        {wave.tenants > 0 && <progress aria-label={t.movedOf(format.number(number))} max={wave.tenants} value={wave.moved + wave.left} />}{" "}
        {wave.tasks_percent === null ? format.number(wave.moved) : "–"}
      </td>
      <td>{wave.tasks_percent === null ? format.number(wave.waiting) : "–"}</td>
      <td>{others.join(", ") || "–"}</td>
      <td>
        {since !== null && wave.bake_seconds > 0 && (
          <progress aria-label={t.bakedOf(format.number(number))} max={wave.bake_seconds} value={Math.min(since, wave.bake_seconds)} />
        )}{" "}
        {wave.bake_seconds === 0 ? "–" : since === null ? format.duration(wave.bake_seconds) : t.of(format.duration(Math.min(since, wave.bake_seconds)), format.duration(wave.bake_seconds))}
      </td>
      <td>
        {wave.gates.length === 0
          ? "–"
          : wave.gates.map((gate) => (
              <span key={gate} className="plan-gate">
                {gate}
              </span>
            ))}
      </td>
    </tr>
  );
}

/** What was done to the plan and what held it, with the evidence; read when somebody asks. */
function Steps({ plan }: { plan: PlanSummary }) {
  const t = useTexts(planTexts);
  const [isOpen, setOpen] = useState(false);
  const found = useQuery({
    queryKey: ["plan", plan.name, plan.version],
    gcTime: 0,
    enabled: isOpen,
    queryFn: ({ signal }) => dataOf(api.GET("/gateway/v1/migration/plans/{name}", { params: { path: { name: plan.name } }, signal })),
  });
  return (
    <>
      <div>
        <Button aria-expanded={isOpen} onPress={() => setOpen(!isOpen)}>
          {t.steps(plan.name)}
        </Button>
      </div>
      {isOpen && found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {isOpen && found.data !== undefined && (
        <>
          {found.data.faults.map((fault) => (
            <p key={`${fault.place} ${fault.code}`} className="part-error">
              {fault.place}: {visible(fault.message)}
            </p>
          ))}
          {found.data.recounts.length > 0 && (
            <Table columns={[t.tenant, t.countedFrom, t.who, t.why]} label={t.recounts(plan.name)}>
              {found.data.recounts.map((one) => (
                <tr key={one.tenant_id}>
                  <th scope="row">{visible(one.tenant_id)}</th>
                  <td>
                    <Moment at={one.counts_from} />
                  </td>
                  <td>{one.who}</td>
                  <td dir="auto">{visible(one.why)}</td>
                </tr>
              ))}
            </Table>
          )}
          {found.data.steps.length === 0 ? (
            <p>{t.noSteps}</p>
          ) : (
            <Table columns={[t.when, t.who, t.why, t.evidence]} label={t.steps(plan.name)}>
              {found.data.steps.map((step) => (
                <tr key={step.id}>
                  <td>
                    <Moment at={step.at} />
                  </td>
                  <td>{step.who}</td>
                  <td dir="auto">{visible(step.why)}</td>
                  <td>
                    <code>{visible(jsonText(step.evidence))}</code>
                  </td>
                </tr>
              ))}
            </Table>
          )}
        </>
      )}
    </>
  );
}
