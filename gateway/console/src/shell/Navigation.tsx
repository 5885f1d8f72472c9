import { Link } from "@tanstack/react-router";
import { type Key, type Selection, Header, Menu, MenuItem, MenuSection, MenuTrigger, Popover, Separator } from "react-aria-components";
import { signOut, useSessionState } from "../api/session";
import { Button } from "../components/Button";
import { Failure } from "../components/Failure";
import { useStore } from "../components/store";
import { useAct } from "../components/useAct";
import { type Catalogue, useTexts } from "../i18n/catalogue";
import { LANGUAGES, type Language, chooseLanguage, useLanguage } from "../i18n/language";
import { openPalette } from "../keys/CommandPalette";
import { openKeyList } from "../keys/KeyList";
import { GROUPS, type Page } from "../pages/page";
import { pagesOf } from "../pages/registry";
import { type ThemeChoice, chooseTheme, themeChoice } from "../theme/theme";
import { shellTexts } from "./texts";

/** All pages that the reader may see, and what concerns the reader. */
export function Navigation() {
  const t = useTexts(shellTexts);
  const state = useSessionState();
  const permitted = state.is === "signed in" ? state.session.permitted : [];
  return (
    <nav className="navigation" aria-label={t.navigation}>
      <Link to="/" className="navigation-brand" aria-label="taskgate">
        <Mark /> taskgate
      </Link>
      <Button weight="plain" onPress={openPalette}>
        <span className="navigation-palette">{t.palette}</span>
        <kbd>⌃K</kbd>
      </Button>
      {GROUPS.map((group) => {
        const pages = pagesOf(group).filter((page) => permitted.includes(page.verb));
        if (pages.length === 0) return null;
        return (
          <section key={group} aria-labelledby={`navigation-${group}`}>
            <h2 id={`navigation-${group}`}>{t[group]}</h2>
            <ul>
              {pages.map((page) => (
                <li key={page.path}>
                  <PageLink page={page} />
                </li>
              ))}
            </ul>
          </section>
        );
      })}
      <div className="navigation-foot">{state.is === "signed in" && <Account user={state.session.user_id} />}</div>
    </nav>
  );
}

function PageLink({ page }: { page: Page }) {
  const texts: Catalogue<{ title: string }> = page.texts;
  return (
    <Link to={`/${page.path}`} className="navigation-link">
      {useTexts(texts).title}
    </Link>
  );
}

function Account({ user }: { user: string }) {
  const t = useTexts(shellTexts);
  const chosenTheme = useStore(themeChoice);
  const chosenLanguage = useLanguage();
  const { act, error } = useAct();
  const themes: Record<ThemeChoice, string> = { light: t.light, dark: t.dark, system: t.system };
  return (
    <>
      {error !== null && <Failure error={error} />}
      <MenuTrigger>
        <Button weight="bare" aria-label={t.account(user)}>
          <span className="navigation-user">{user}</span>
        </Button>
        <Popover className="popover" placement="top start">
          <Menu className="menu" aria-label={t.account(user)}>
            <MenuSection
              selectionMode="single"
              disallowEmptySelection
              selectedKeys={[chosenTheme]}
              onSelectionChange={(keys) => chooseTheme(onlyOf(keys) as ThemeChoice)}
            >
              <Header>{t.theme}</Header>
              {Object.entries(themes).map(([choice, name]) => (
                <MenuItem key={choice} id={choice} className="menu-item">
                  {name}
                </MenuItem>
              ))}
            </MenuSection>
            <MenuSection
              selectionMode="single"
              disallowEmptySelection
              selectedKeys={[chosenLanguage]}
              onSelectionChange={(keys) => chooseLanguage(onlyOf(keys) as Language)}
            >
              <Header>{t.language}</Header>
              {Object.entries(LANGUAGES).map(([code, name]) => (
                <MenuItem key={code} id={code} className="menu-item">
                  {name}
                </MenuItem>
              ))}
            </MenuSection>
            <Separator />
            <MenuItem className="menu-item" onAction={openKeyList}>
              {t.keys}
            </MenuItem>
            <MenuItem className="menu-item" onAction={() => act(() => signOut(false))}>
              {t.signOut}
            </MenuItem>
            <MenuItem className="menu-item" onAction={() => act(() => signOut(true))}>
              {t.signOutEverywhere}
            </MenuItem>
          </Menu>
        </Popover>
      </MenuTrigger>
    </>
  );
}

/** The one that is selected. */
function onlyOf(keys: Selection): Key | undefined {
  return keys === "all" ? undefined : keys.values().next().value;
}

function Mark() {
  return (
    <svg width="18" height="18" viewBox="0 0 16 16" aria-hidden="true">
      <path fill="var(--accent)" d="M1 3h9v3H7v8H4V6H1z" />
      <path fill="var(--temporal)" d="m10 8 5 3-5 3z" />
    </svg>
  );
}
