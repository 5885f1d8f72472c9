import { type RefObject, useEffect } from "react";

const CONTROLS = "button, input, select, .editor-line";

/** Of a line of CodeMirror, what takes the focus stands in its shadow. */
function focusable(control: Element): HTMLElement | null {
  const found = control.matches(".editor-line") ? control.shadowRoot?.querySelector("[aria-label]") : control;
  return found instanceof HTMLElement ? found : null;
}

function nameOf(control: HTMLElement): string {
  const label = control instanceof HTMLInputElement || control instanceof HTMLSelectElement ? control.labels?.[0] : null;
  return control.getAttribute("aria-label") ?? (label ?? control).textContent;
}

/**
 * What is written in the panel makes another field of the one that it was written in. The focus then goes to the field
 * of the same name, or to the panel if there is none, so that whoever has no mouse goes on from there.
 */
export function useKeptFocus(panel: RefObject<HTMLElement | null>): void {
  useEffect(() => {
    const place = panel.current;
    if (place === null) return;
    let last: string | null = null;
    let frame = 0;
    const comes = (event: FocusEvent) => {
      const [target] = event.composedPath();
      if (target instanceof HTMLElement && target !== place) last = nameOf(target);
    };
    const leaves = ({ target, relatedTarget }: FocusEvent) => {
      // What is taken out of the page leaves, too, and that is what is kept.
      queueMicrotask(() => {
        if (target instanceof Node && target.isConnected && target !== place && relatedTarget === null && document.hasFocus()) last = null;
        if (relatedTarget instanceof Node && !place.contains(relatedTarget)) last = null;
      });
    };
    const keep = () => {
      const isLost = document.activeElement === document.body || document.activeElement === place;
      if (last === null || !isLost) return;
      const same = [...place.querySelectorAll(CONTROLS)].map(focusable).find((control) => control !== null && nameOf(control) === last);
      (same ?? place).focus();
    };
    const observer = new MutationObserver(() => {
      cancelAnimationFrame(frame);
      // What is new has its shadow by then.
      frame = requestAnimationFrame(keep);
    });
    observer.observe(place, { childList: true, subtree: true });
    place.addEventListener("focusin", comes);
    place.addEventListener("focusout", leaves);
    return () => {
      cancelAnimationFrame(frame);
      observer.disconnect();
      place.removeEventListener("focusin", comes);
      place.removeEventListener("focusout", leaves);
    };
  }, [panel]);
}
