/** Characters that are not seen, or change how others are: controls, marks of direction, odd ends of lines, no width at all. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** A text from elsewhere as it is: what would hide or turn round parts of it is spelled out. Lines stay lines. */
export function visible(text: string): string {
  return text.replace(HIDDEN, (one) =>
    one === "\n" || one === "\t" || one === "\u200d" ? one : `\\u{${one.codePointAt(0)?.toString(16) ?? ""}}`,
  );
}
