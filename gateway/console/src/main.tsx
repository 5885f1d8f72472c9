import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { I18nProvider } from "react-aria-components";
import { Problem } from "./api/problem";
import { resume } from "./api/session";
import { followLanguage, useLanguage } from "./i18n/language";
import { router } from "./router";
import { followTheme } from "./theme/theme";
import "./theme/tokens.css";
import "./theme/base.css";

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // Streams say what has changed.
      staleTime: Infinity,
      refetchOnWindowFocus: false,
      retry: (count, error) => error instanceof Problem && (error.status === 0 || error.status >= 500) && count < 2,
    },
  },
});

function Console() {
  return (
    <I18nProvider locale={useLanguage() === "zh" ? "zh-CN" : "en-GB"}>
      <QueryClientProvider client={queries}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </I18nProvider>
  );
}

followTheme();
followLanguage();
void resume();
const place = document.getElementById("root");
if (place === null) throw new Error("index.html has no #root");
createRoot(place).render(
  <StrictMode>
    <Console />
  </StrictMode>,
);
