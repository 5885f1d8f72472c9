import { Outlet, useMatches } from "@tanstack/react-router";
import { Suspense, useEffect } from "react";
import { resume, useSessionState } from "../api/session";
import { Button } from "../components/Button";
import { useTexts } from "../i18n/catalogue";
import { CommandPalette } from "../keys/CommandPalette";
import { KeyList } from "../keys/KeyList";
import { Connection } from "./Connection";
import { Navigation } from "./Navigation";
import { Nowhere } from "./Nowhere";
import { SignIn } from "./SignIn";
import { pageOf } from "./current";
import { shellTexts } from "./texts";
import "./Shell.css";

/** What stands around every page. */
export function Shell() {
  const t = useTexts(shellTexts);
  const state = useSessionState();
  const page = pageOf(useMatches());
  const title = useTexts(page?.texts ?? NO_TITLE).title;
  useEffect(() => {
    document.title = title === "" ? "taskgate" : `${title} · taskgate`;
  }, [title]);

  if (state.is === "unknown") return <p className="shell-wait">{t.loading}</p>;
  if (state.is === "unreachable") {
    return (
      <div className="shell-wait">
        <p>{t.unreachable}</p>
        <Button onPress={() => void resume()}>{t.retry}</Button>
      </div>
    );
  }
  if (state.is === "signed out" && !state.ended) return <SignIn ended={false} />;
  const isPermitted = page === undefined || state.is !== "signed in" || state.session.permitted.includes(page.verb);
  return (
    <div className="shell">
      <a className="shell-skip" href="#content">
        {t.skip}
      </a>
      <Navigation />
      <div className="shell-main">
        <Connection />
        <main id="content" tabIndex={-1}>
          <Suspense fallback={<p className="shell-wait">{t.loading}</p>}>{isPermitted ? <Outlet /> : <Nowhere />}</Suspense>
        </main>
      </div>
      <CommandPalette />
      <KeyList />
      {state.is === "signed out" && <SignIn ended />}
    </div>
  );
}

const NO_TITLE = { en: { title: "" }, zh: { title: "" } };
