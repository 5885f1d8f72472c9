import { changesOf } from "./changes";
import { type Definition, readDefinition } from "./definition";
import type { Change, Edit } from "./edit";
import type { Question } from "./model.worker";

/** Characters; what is longer is read beside the page, which would stand still meanwhile. */
export const LONG = 20_000;

let spare: Worker | null = null;

function made(): Worker {
  return new Worker(new URL("./model.worker.ts", import.meta.url), { type: "module" });
}

/** Starts what reads a long text while the page is still drawn. */
export function prepareReader(text: string): void {
  if (text.length >= LONG) spare ??= made();
}

/** Reads definitions, and says what edits come to. */
export class Reader {
  private worker: Worker | null = null;
  private asked = new Map<number, (answer: unknown) => void>();
  private last = 0;

  read(text: string): Definition | Promise<Definition> {
    return text.length < LONG ? readDefinition(text) : (this.ask(text, null) as Promise<Definition>);
  }

  changes(text: string, edit: Edit): Change[] | null | Promise<Change[] | null> {
    return text.length < LONG ? changesOf(text, edit) : (this.ask(text, edit) as Promise<Change[] | null>);
  }

  close(): void {
    this.worker?.terminate();
    this.worker = null;
    this.asked.clear();
  }

  private ask(text: string, edit: Edit | null): Promise<unknown> {
    if (this.worker === null) {
      this.worker = spare ?? made();
      spare = null;
      this.worker.addEventListener("message", ({ data }: MessageEvent<{ id: number; answer: unknown }>) => {
        this.asked.get(data.id)?.(data.answer);
        this.asked.delete(data.id);
      });
    }
    const id = (this.last += 1);
    this.worker.postMessage({ id, text, edit } satisfies Question);
    return new Promise((resolve) => this.asked.set(id, resolve));
  }
}
