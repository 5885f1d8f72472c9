import type { ComponentType } from "react";
import type { Verb } from "../api/session";
import type { Catalogue } from "../i18n/catalogue";

/** Parts of the navigation, in their order. */
export const GROUPS = ["now", "work", "move", "run"] as const;
export type Group = (typeof GROUPS)[number];

/** A page of the console. Each folder beside this file exports its own as `page` from `page.ts`. */
export interface Page {
  /** Below `/console/`, as the router writes it: `tasks`, `tasks/$taskId`. */
  path: string;
  /** Who may not do this is not offered the page. */
  verb: Verb;
  /** What it is called; `title` also stands in the browser's tab. */
  texts: Catalogue<{ title: string }>;
  /** Loaded when the page is first opened. */
  load: () => Promise<{ default: ComponentType }>;
  /** Where it stands in the navigation. Left out: it is reached from other pages. */
  navigation?: {
    group: Group;
    /** Within its group; lower stands first. */
    order: number;
    /** The second key after `g`. */
    key: string;
  };
}
