import type { Page } from "../page";
import { editorTexts } from "./texts";

export const page: Page = {
  path: "dags/$name",
  verb: "read",
  texts: editorTexts,
  load: () => import("./EditorPage"),
};
