import { createStore, useStore } from "../components/store";

export const LANGUAGES = { en: "English", zh: "中文" } as const;
export type Language = keyof typeof LANGUAGES;

const KEY = "taskgate.language";

function read(): Language {
  const kept = localStorage.getItem(KEY);
  if (kept === "en" || kept === "zh") return kept;
  return navigator.language.startsWith("zh") ? "zh" : "en";
}

export const language = createStore<Language>(read());

export function chooseLanguage(chosen: Language): void {
  localStorage.setItem(KEY, chosen);
  language.set(chosen);
}

/** Keeps the document's language as the chosen one. */
export function followLanguage(): void {
  const apply = () => {
    document.documentElement.lang = language.get() === "zh" ? "zh-Hans" : "en";
  };
  apply();
  language.subscribe(apply);
}

export function useLanguage(): Language {
  return useStore(language);
}
