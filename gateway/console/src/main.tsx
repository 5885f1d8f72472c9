import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { I18nProvider } from "react-aria-components";
import { queries } from "./api/queries";
import { followPages, resume } from "./api/session";
import { followLanguage, useLanguage } from "./i18n/language";
import { router } from "./router";
import { followTheme } from "./theme/theme";
import "./theme/tokens.css";
import "./theme/base.css";

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
followPages();
void resume();
const place = document.getElementById("root");
if (place === null) throw new Error("index.html has no #root");
createRoot(place).render(
  <StrictMode>
    <Console />
  </StrictMode>,
);
