import type { Page } from "../page";
import { tenantTexts } from "./texts";

export const page: Page = {
  path: "tenants/$tenantId",
  verb: "read",
  texts: tenantTexts,
  load: () => import("./TenantPage"),
};
