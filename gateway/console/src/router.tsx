import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from "@tanstack/react-router";
import { CONSOLE_ADDRESS } from "./api/address";
import { Failure } from "./components/Failure";
import { Shell } from "./shell/Shell";
import { Nowhere } from "./shell/Nowhere";
import { PAGES, navigated } from "./pages/registry";

const root = createRootRoute({ component: Shell, notFoundComponent: Nowhere });

const routes = PAGES.map((page) =>
  createRoute({
    getParentRoute: () => root,
    path: page.path,
    component: lazyRouteComponent(page.load),
    staticData: { page },
    errorComponent: ({ error, reset }) => <Failure error={error} retry={reset} />,
  }),
);

const start = createRoute({
  getParentRoute: () => root,
  path: "/",
  beforeLoad: () => {
    // eslint-disable-next-line @typescript-eslint/only-throw-error -- how the router is told
    throw redirect({ to: `/${navigated()[0]?.path ?? ""}` });
  },
});

export const router = createRouter({
  routeTree: root.addChildren([start, ...routes]),
  basepath: CONSOLE_ADDRESS.pathname,
  defaultPreload: "intent",
  scrollRestoration: true,
});
