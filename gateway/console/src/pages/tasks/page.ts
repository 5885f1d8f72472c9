import type { Page } from "../page";
import { tasksTexts } from "./texts";

export const page: Page = {
  path: "tasks",
  verb: "read",
  texts: tasksTexts,
  load: () => import("./TasksPage"),
  navigation: { group: "work", order: 1, key: "t" },
};
