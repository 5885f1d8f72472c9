import { useNavigate } from "@tanstack/react-router";
import { useEffect } from "react";
import {
  Autocomplete,
  Dialog,
  Input,
  Menu,
  MenuItem,
  Modal,
  ModalOverlay,
  SearchField,
  useFilter,
} from "react-aria-components";
import { sessionState, useSessionState } from "../api/session";
import { createStore, useStore } from "../components/store";
import { useTexts } from "../i18n/catalogue";
import { useLanguage } from "../i18n/language";
import { navigated } from "../pages/registry";
import { shellTexts } from "../shell/texts";
import { chooseTheme } from "../theme/theme";
import { shortcuts, useShortcuts } from "./shortcuts";

const isOpen = createStore(false);

export function openPalette(): void {
  isOpen.set(true);
}

interface Command {
  id: string;
  label: string;
  keys?: string;
  run: () => void;
}

/** Ctrl or ⌘ with K: every page, and all that the page on the screen offers. */
export function CommandPalette() {
  const t = useTexts(shellTexts);
  const open = useStore(isOpen);
  const language = useLanguage();
  const navigate = useNavigate();
  const state = useSessionState();
  const { contains } = useFilter({ sensitivity: "base" });
  const permitted = state.is === "signed in" ? state.session.permitted : [];
  const pages = navigated().filter((page) => permitted.includes(page.verb));
  const toPages = pages.map((page) => ({
    keys: `g ${page.navigation?.key ?? ""}`,
    label: page.texts[language].title,
    run: () => void navigate({ to: `/${page.path}` }),
  }));
  useShortcuts(toPages);
  const offered = [...useStore(shortcuts).values()].flat();
  const commands: Command[] = [
    ...offered.map((one) => ({ ...one, id: one.keys })),
    { id: "light", label: `${t.theme}: ${t.light}`, run: () => chooseTheme("light") },
    { id: "dark", label: `${t.theme}: ${t.dark}`, run: () => chooseTheme("dark") },
  ];

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      // Who has to sign in again does that first.
      if (event.key !== "k" || !(event.ctrlKey || event.metaKey) || sessionState.get().is !== "signed in") return;
      event.preventDefault();
      openPalette();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);

  return (
    <ModalOverlay className="overlay" isDismissable isOpen={open} onOpenChange={(next) => isOpen.set(next)}>
      <Modal>
        <Dialog className="dialog palette" aria-label={t.paletteLabel}>
          <Autocomplete filter={contains}>
            <SearchField aria-label={t.paletteLabel} autoFocus>
              <Input className="palette-input" placeholder={t.palette} />
            </SearchField>
            <Menu
              className="palette-list"
              aria-label={t.paletteLabel}
              items={commands}
              renderEmptyState={() => <p className="palette-nothing">{t.paletteNothing}</p>}
            >
              {(command) => (
                <MenuItem
                  className="menu-item"
                  textValue={command.label}
                  onAction={() => {
                    isOpen.set(false);
                    command.run();
                  }}
                >
                  {command.label}
                  {command.keys !== undefined && <kbd>{command.keys}</kbd>}
                </MenuItem>
              )}
            </Menu>
          </Autocomplete>
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}
