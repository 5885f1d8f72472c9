import type { Page } from "../page";
import { schedulesTexts } from "./texts";

export const page: Page = {
  path: "schedules",
  verb: "read",
  texts: schedulesTexts,
  load: () => import("./SchedulesPage"),
  navigation: { group: "work", order: 3, key: "s" },
};
