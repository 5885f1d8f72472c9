import { changesOf } from "./changes";
import { readDefinition } from "./definition";
import type { Edit } from "./edit";

export interface Question {
  id: number;
  text: string;
  edit: Edit | null;
}

addEventListener("message", ({ data: { id, text, edit } }: MessageEvent<Question>) => {
  postMessage({ id, answer: edit === null ? readDefinition(text) : changesOf(text, edit) });
});
