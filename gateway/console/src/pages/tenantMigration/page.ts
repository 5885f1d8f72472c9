import type { Page } from "../page";
import { tenantMigrationTexts } from "./texts";

export const page: Page = {
  path: "migration/$tenantId",
  verb: "observe",
  texts: tenantMigrationTexts,
  load: () => import("./TenantMigrationPage"),
};
