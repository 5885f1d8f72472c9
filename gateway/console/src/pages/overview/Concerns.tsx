import { Link } from "@tanstack/react-router";
import type { components } from "../../api/schema";
import { may, useSession } from "../../api/session";
import { Moment } from "../../components/Moment";
import { Status, type Tone } from "../../components/Status";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { overviewTexts } from "./texts";

type Concern = components["schemas"]["AttentionNeeded"];

const TONES: Record<Concern["kind"], Tone> = {
  engine_away: "bad",
  no_worker: "bad",
  tenant_taken_back: "bad",
  guardrails_frozen: "warn",
  plan_held: "warn",
  dead_letters_grow: "warn",
  paused: "quiet",
  routing: "warn",
};

/** What needs attention, the most urgent first, each with a link to it. */
export function Concerns({ concerns, seconds }: { concerns: readonly Concern[]; seconds: number }) {
  const t = useTexts(overviewTexts);
  const say = useWords(seconds);
  return (
    <section className="part" aria-labelledby="overview-attention">
      <h2 id="overview-attention">{t.attention}</h2>
      {concerns.length === 0 && <p role="status">{t.calm}</p>}
      <ol className="concerns">
        {concerns.map((one) => (
          <li key={JSON.stringify(one)}>
            <Status tone={TONES[one.kind]}>{say(one)}</Status>
            {one.says !== null && <span dir="auto">{visible(one.says)}</span>}
            {one.since !== null && <Moment at={one.since} />}
            <ToIt concern={one} label={`${t.look}: ${say(one)}`}>
              {t.look}
            </ToIt>
          </li>
        ))}
      </ol>
    </section>
  );
}

function useWords(seconds: number): (one: Concern) => string {
  const t = useTexts(overviewTexts);
  const format = useFormat();
  return (one) => {
    const count = format.number(one.tasks ?? 0);
    switch (one.kind) {
      case "engine_away":
        return t.engine_away(one.backend ?? "–");
      case "no_worker":
        return t.no_worker(one.task_type ?? "–", one.backend ?? "–", count);
      case "tenant_taken_back":
        return t.tenant_taken_back(one.tenant_id ?? "–");
      case "guardrails_frozen":
        return t.guardrails_frozen;
      case "plan_held":
        return t.plan_held(one.plan ?? "–");
      case "dead_letters_grow":
        return t.dead_letters_grow(count, format.duration(seconds), one.backend ?? "–");
      case "paused":
        return t.paused([one.tenant_id, one.project_id, one.task_type].filter((name) => name !== null).join(", ") || t.everything);
      case "routing":
        return t.routing;
    }
  };
}

function ToIt({ concern, label, children }: { concern: Concern; label: string; children: string }) {
  const session = useSession();
  const filter = (name: string, value: string | null) => (value === null ? [] : [`${name}:${value}`]);
  if (concern.kind === "tenant_taken_back" && concern.tenant_id !== null)
    return (
      <Link to="/migration/$tenantId" params={{ tenantId: concern.tenant_id }} aria-label={label}>
        {children}
      </Link>
    );
  if (["plan_held", "guardrails_frozen", "routing"].includes(concern.kind))
    return may(session, "observe") ? (
      <Link to="/migration" aria-label={label}>
        {children}
      </Link>
    ) : null;
  if (concern.kind === "dead_letters_grow")
    return (
      <Link to="/dead-letters" aria-label={label}>
        {children}
      </Link>
    );
  const state = concern.kind === "paused" ? "waiting" : "queued";
  const words = [
    `state:${state}`,
    ...filter("backend", concern.backend),
    ...filter("type", concern.task_type),
    ...filter("tenant", concern.tenant_id),
    ...filter("project", concern.project_id),
  ];
  return (
    <Link to="/tasks" search={{ q: words.join(" ") }} aria-label={label}>
      {children}
    </Link>
  );
}
