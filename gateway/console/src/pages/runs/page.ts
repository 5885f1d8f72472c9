import type { Page } from "../page";
import { runsTexts } from "./texts";

export const page: Page = {
  path: "dag-runs",
  verb: "read",
  texts: runsTexts,
  load: () => import("./RunsPage"),
  navigation: { group: "work", order: 2, key: "r" },
};
