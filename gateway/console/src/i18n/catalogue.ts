import { type Language, useLanguage } from "./language";

type Texts = Record<string, string | ((...values: never[]) => string)>;

/** Texts in each language. One that is missing in a language, or takes other values there, does not compile. */
export type Catalogue<T extends Texts> = Record<Language, T>;

export function catalogue<T extends Texts>(texts: { en: T; zh: NoInfer<T> }): Catalogue<T> {
  return texts;
}

/** For English: a number as it is shown, with what there are so many of. */
export function counted(number: string, one: string, more = `${one}s`): string {
  return `${number} ${number === "1" ? one : more}`;
}

/** The texts in the reader's language. */
export function useTexts<T extends Texts>(texts: Catalogue<T>): T {
  return texts[useLanguage()];
}
