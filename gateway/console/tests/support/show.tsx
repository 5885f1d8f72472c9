import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider, createMemoryHistory, createRootRoute, createRoute, createRouter } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { createRoot } from "react-dom/client";
import { vi } from "vitest";

/** Shows a part of the console to somebody who is signed in; gives what takes it away. */
export async function show(part: ReactNode): Promise<() => void> {
  const { resume } = await import("../../src/api/session");
  await resume();
  const place = document.body.appendChild(document.createElement("div"));
  const root = createRoot(place);
  const queries = new QueryClient({ defaultOptions: { queries: { staleTime: Infinity, retry: false, retryDelay: 1 } } });
  root.render(<QueryClientProvider client={queries}>{part}</QueryClientProvider>);
  return () => {
    root.unmount();
    place.remove();
  };
}

/** Waits until the check throws no more. */
export function until<T>(check: () => T): Promise<T> {
  return vi.waitFor(check, 10_000);
}

/** The last button with this name is the one of a dialog, if one is open. */
export async function press(name: string): Promise<void> {
  const button = await until(() => {
    const found = [...document.querySelectorAll("button")].filter((one) => one.textContent === name && !one.disabled).at(-1);
    if (found === undefined) throw new Error(`no button ${name}`);
    return found;
  });
  button.click();
}

/** What is typed into the field with this label. */
export async function type(label: string, text: string): Promise<void> {
  const field = await until(() => {
    const found = [...document.querySelectorAll("label")].find((one) => one.textContent.startsWith(label))?.control;
    if (!(found instanceof HTMLInputElement)) throw new Error(`no field ${label}`);
    return found;
  });
  // React watches the setter of the element itself.
  Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value")?.set?.call(field, text);
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

/** Shows a page as if the address were this one. */
export function showPage(page: () => ReactNode, path: string, address: string): Promise<() => void> {
  const root = createRootRoute();
  const routeTree = root.addChildren([createRoute({ getParentRoute: () => root, path, component: page })]);
  const router = createRouter({ routeTree, history: createMemoryHistory({ initialEntries: [address] }) });
  return show(<RouterProvider router={router as never} />);
}
