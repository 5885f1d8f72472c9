import type { Page } from "../page";
import { migrationTexts } from "./texts";

export const page: Page = {
  path: "migration",
  verb: "observe",
  texts: migrationTexts,
  load: () => import("./MigrationPage"),
  navigation: { group: "move", order: 1, key: "m" },
};
