import type { Page } from "../page";
import { keysTexts } from "./texts";

export const page: Page = {
  path: "keys",
  verb: "keys",
  texts: keysTexts,
  load: () => import("./KeysPage"),
  navigation: { group: "run", order: 5, key: "k" },
};
