import type { Page } from "../page";
import { runTexts } from "./texts";

export const page: Page = {
  path: "dag-runs/$runId",
  verb: "read",
  texts: runTexts,
  load: () => import("./RunPage"),
};
