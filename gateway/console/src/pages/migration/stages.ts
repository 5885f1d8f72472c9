import { Problem } from "../../api/problem";
import type { components } from "../../api/schema";

export type StagesInForce = components["schemas"]["StagesInForce"];
export type TenantView = components["schemas"]["TenantView"];

/** In the order of the move. */
export const STAGES = ["off", "dualwrite", "shadow", "live", "rampdown", "complete"] as const;
export type Stage = (typeof STAGES)[number];

export function isStage(text: string): text is Stage {
  return (STAGES as readonly string[]).includes(text);
}

/** The stage that is set for the tenant itself; null: it follows what is less specific. */
export function ownStage(stages: StagesInForce, tenantId: string): Stage | null {
  const own = stages.settings.find((one) => one.tenant_id === tenantId && one.project_id === null && one.task_type === null);
  return own !== undefined && isStage(own.stage) ? own.stage : null;
}

/** What the gateway says, too, when it learns of it first. */
export const STALE = "stage_version_stale";

/** What force overrules: not a lock, a freeze, or a flag that cannot be changed; and what others changed meanwhile is looked at first. */
const OVERRULED = ["move_held", "stage_change_refused"];

/** Whether the same can be asked for with force. */
export function canInsist(error: unknown): boolean {
  return error instanceof Problem && OVERRULED.includes(error.code);
}
