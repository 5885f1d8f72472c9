import type { Page } from "../page";
import { taskTexts } from "./texts";

export const page: Page = {
  path: "tasks/$taskId",
  verb: "read",
  texts: taskTexts,
  load: () => import("./TaskPage"),
};
