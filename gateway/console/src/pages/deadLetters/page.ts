import type { Page } from "../page";
import { deadLettersTexts } from "./texts";

export const page: Page = {
  path: "dead-letters",
  verb: "read",
  texts: deadLettersTexts,
  load: () => import("./DeadLettersPage"),
  navigation: { group: "work", order: 4, key: "d" },
};
