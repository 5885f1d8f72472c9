import type { Page } from "../page";
import { dagsTexts } from "./texts";

export const page: Page = {
  path: "dags",
  verb: "read",
  texts: dagsTexts,
  load: () => import("./DagsPage"),
  navigation: { group: "work", order: 2.5, key: "e" },
};
