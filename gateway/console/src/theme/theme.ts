import { createStore } from "../components/store";

export type Theme = "light" | "dark";
/** What the reader chose; `system` follows the system's own. */
export type ThemeChoice = Theme | "system";

const KEY = "taskgate.theme";
const systemDark = matchMedia("(prefers-color-scheme: dark)");

function read(): ThemeChoice {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : "system";
}

export const themeChoice = createStore<ThemeChoice>(read());

export function themeOf(choice: ThemeChoice): Theme {
  return choice === "system" ? (systemDark.matches ? "dark" : "light") : choice;
}

export function chooseTheme(choice: ThemeChoice): void {
  localStorage.setItem(KEY, choice);
  themeChoice.set(choice);
}

/** Keeps the document in the chosen theme. */
export function followTheme(): void {
  const apply = () => {
    document.documentElement.dataset.theme = themeOf(themeChoice.get());
  };
  apply();
  themeChoice.subscribe(apply);
  systemDark.addEventListener("change", apply);
}
