import type { Page } from "../page";
import { overviewTexts } from "./texts";

export const page: Page = {
  path: "overview",
  verb: "read",
  texts: overviewTexts,
  load: () => import("./OverviewPage"),
  navigation: { group: "now", order: 1, key: "o" },
};
