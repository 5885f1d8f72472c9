import type { Page } from "../page";
import { callbacksTexts } from "./texts";

export const page: Page = {
  path: "callbacks",
  verb: "read",
  texts: callbacksTexts,
  load: () => import("./CallbacksPage"),
  navigation: { group: "run", order: 3, key: "c" },
};
