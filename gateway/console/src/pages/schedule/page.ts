import type { Page } from "../page";
import { scheduleTexts } from "./texts";

export const page: Page = {
  path: "schedules/$scheduleId",
  verb: "read",
  texts: scheduleTexts,
  load: () => import("./SchedulePage"),
};
