import { QueryClientProvider } from "@tanstack/react-query";
import { Outlet, RouterProvider, createMemoryHistory, createRootRoute, createRoute, createRouter } from "@tanstack/react-router";
import type { ReactElement } from "react";
import { createRoot } from "react-dom/client";
import { queries } from "../../src/api/queries";
import { until } from "./until";

const defaults = queries.getDefaultOptions();
queries.setDefaultOptions({ ...defaults, queries: { ...defaults.queries, retryDelay: 1 } });

/** A component at an address, as somebody sees it. `path` names the parameters in the address. */
export function open(component: () => ReactElement | null, address = "/", path = "$") {
  const root = createRootRoute({ component: Outlet });
  const router = createRouter({
    routeTree: root.addChildren([createRoute({ getParentRoute: () => root, path, component })]),
    history: createMemoryHistory({ initialEntries: [address] }),
  });
  const place = document.body.appendChild(document.createElement("div"));
  const made = createRoot(place);
  made.render(
    <QueryClientProvider client={queries}>
      <RouterProvider router={router as never} />
    </QueryClientProvider>,
  );
  return {
    go: (to: string) => void router.navigate({ href: to } as never),
    close: () => {
      made.unmount();
      place.remove();
      queries.clear();
    },
  };
}

/** Waits for an element of this kind with this text or name. */
export function find<T extends HTMLElement = HTMLElement>(selector: string, text = ""): Promise<T> {
  return until(() => {
    const found = all<T>(selector, text)[0];
    if (found === undefined) throw new Error(`no ${selector} with ${text}: ${document.body.textContent}`);
    return found;
  });
}

export function all<T extends HTMLElement = HTMLElement>(selector: string, text = ""): T[] {
  return [...document.querySelectorAll<T>(selector)].filter((one) => `${one.textContent}${one.getAttribute("aria-label") ?? ""}`.includes(text));
}

/** Press the button that says this, when it can be pressed. */
export async function press(text: string, within = ""): Promise<void> {
  (await find<HTMLButtonElement>(`${within} button:not([disabled])`, text)).click();
}

/** The field that is labelled so. */
export async function field(label: string): Promise<HTMLInputElement | HTMLSelectElement> {
  const found = await find<HTMLLabelElement>("label", label);
  return found.querySelector("select") ?? (document.getElementById(found.htmlFor) as HTMLInputElement);
}

/** Enter a text, or choose an option, as the browser does for somebody. */
export function enter(place: HTMLInputElement | HTMLSelectElement, text: string): void {
  const kind = place instanceof HTMLSelectElement ? HTMLSelectElement : HTMLInputElement;
  Object.getOwnPropertyDescriptor(kind.prototype, "value")?.set?.call(place, text);
  place.dispatchEvent(new Event(kind === HTMLSelectElement ? "change" : "input", { bubbles: true }));
}
