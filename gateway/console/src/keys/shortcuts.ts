import { useEffect, useEffectEvent } from "react";
import { createStore } from "../components/store";

/** A key, or two in turn (`g t`), and what it does. */
export interface Shortcut {
  keys: string;
  label: string;
  run: () => void;
}

const PAUSE = 1200;

/** Shortcuts of everything that is on the screen, by who brought them. */
export const shortcuts = createStore<ReadonlyMap<object, readonly Shortcut[]>>(new Map());

let first = "";
let firstAt = 0;

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (document.querySelector("[role=dialog], [role=alertdialog]") !== null) return;
  const two = event.timeStamp - firstAt < PAUSE && first !== "" ? `${first} ${event.key}` : "";
  const all = [...shortcuts.get().values()].flat();
  const found = all.find((one) => one.keys === two) ?? all.find((one) => one.keys === event.key);
  first = found === undefined ? event.key : "";
  firstAt = event.timeStamp;
  if (found === undefined) return;
  event.preventDefault();
  found.run();
});

/** Offer shortcuts while the component is there; the list of keys shows them. */
export function useShortcuts(offered: readonly Shortcut[]): void {
  const current = useEffectEvent(() => offered);
  const names = offered.map((one) => `${one.keys} ${one.label}`).join("\n");
  useEffect(() => {
    const owner = {};
    const indirect = current().map((one, place) => ({ ...one, run: () => current()[place]?.run() }));
    shortcuts.set(new Map(shortcuts.get()).set(owner, indirect));
    return () => {
      const rest = new Map(shortcuts.get());
      rest.delete(owner);
      shortcuts.set(rest);
    };
  }, [names]);
}
