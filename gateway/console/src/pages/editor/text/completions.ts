import { type CompletionContext, type CompletionResult, autocompletion } from "@codemirror/autocomplete";
import type { Extension } from "@codemirror/state";
import type { Suggestions } from "../model/completion";

/** Offers what `suggest` finds for the text before the cursor. `delay`: milliseconds for which Enter does not mean what has just come up. */
export function completions(suggest: (text: string, position: number) => Suggestions | null, delay = 75): Extension {
  const source = (context: CompletionContext): CompletionResult | null => {
    const found = suggest(context.state.doc.toString(), context.pos);
    if (found === null || found.found.length === 0 || (!context.explicit && found.from === context.pos && !/[.[{ ]$/.test(context.state.sliceDoc(0, context.pos)))) return null;
    return {
      from: found.from,
      options: found.found.map(({ label, detail, more }) => ({ label, ...(detail === undefined ? {} : { detail }), ...(more === undefined ? {} : { apply: label + more }) })),
      validFor: /^\w*$/,
    };
  };
  return autocompletion({ override: [source], icons: false, interactionDelay: delay });
}
