import { type Language, useLanguage } from "./language";

type Texts = Record<string, string | ((...values: never[]) => string)>;

/** Texts in each language. One that is missing in a language, or takes other values there, does not compile. */
export type Catalogue<T extends Texts> = Record<Language, T>;

export function catalogue<T extends Texts>(texts: { en: T; zh: NoInfer<T> }): Catalogue<T> {
  return texts;
}

/** The texts in the reader's language. */
export function useTexts<T extends Texts>(texts: Catalogue<T>): T {
  return texts[useLanguage()];
}
