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

/** Whether the same can be asked for with force. What somebody else has changed meanwhile is looked at first. */
export function canInsist(error: unknown): boolean {
  return error instanceof Problem && error.status === 409 && error.code !== STALE;
}
