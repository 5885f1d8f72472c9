import type { Page } from "../page";
import { auditTexts } from "./texts";

export const page: Page = {
  path: "audit",
  verb: "observe",
  texts: auditTexts,
  load: () => import("./AuditPage"),
  navigation: { group: "run", order: 4, key: "a" },
};
