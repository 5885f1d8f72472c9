import { useEffect, useState } from "react";
import { api, dataOf } from "../../api/client";
import type { components } from "../../api/schema";
import { token } from "../../api/token";
import { useStore } from "../../components/store";
import { LONG } from "./model/reader";

export type DagCheck = components["schemas"]["DagCheck"];

/** Milliseconds after the last change; a long text rests longer. */
const REST = 350;
const LONG_REST = 1500;

export interface Checked {
  text: string;
  check: DagCheck | null;
  /** The gateway gave no answer. */
  error: unknown;
}

/** What the gateway finds wrong with the text; null until it has answered for the first time. A new session asks again. */
export function useCheck(text: string, tenant: string | null, anyTypes: boolean): Checked | null {
  const [checked, setChecked] = useState<Checked | null>(null);
  const session = useStore(token);
  useEffect(() => {
    if (session === null) return;
    const abort = new AbortController();
    const timer = setTimeout(
      () => {
        const request = api.POST("/gateway/v1/dags/validate", {
          params: { query: { ...(tenant === null ? {} : { tenant_id: tenant }), any_types: anyTypes } },
          body: text as never,
          bodySerializer: (body) => body as unknown as string,
          headers: { "Content-Type": "application/yaml" },
          signal: abort.signal,
        });
        dataOf(request).then(
          (check) => setChecked({ text, check, error: null }),
          (error: unknown) => {
            if (!abort.signal.aborted) setChecked({ text, check: null, error });
          },
        );
      },
      text.length < LONG ? REST : LONG_REST,
    );
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [text, tenant, anyTypes, session]);
  return checked;
}
