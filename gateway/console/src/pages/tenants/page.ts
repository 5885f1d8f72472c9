import type { Page } from "../page";
import { tenantsTexts } from "./texts";

export const page: Page = {
  path: "tenants",
  verb: "read",
  texts: tenantsTexts,
  load: () => import("./TenantsPage"),
  navigation: { group: "run", order: 1, key: "n" },
};
