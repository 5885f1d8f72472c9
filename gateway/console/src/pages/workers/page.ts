import type { Page } from "../page";
import { workersTexts } from "./texts";

export const page: Page = {
  path: "workers",
  verb: "observe",
  texts: workersTexts,
  load: () => import("./WorkersPage"),
  navigation: { group: "run", order: 2, key: "w" },
};
