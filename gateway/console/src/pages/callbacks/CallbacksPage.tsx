import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { type SyntheticEvent, useState } from "react";
import { api, dataOf } from "../../api/client";
import type { components } from "../../api/schema";
import { may, useSession } from "../../api/session";
import { AsOf } from "../../components/AsOf";
import { Button } from "../../components/Button";
import { Choice } from "../../components/Choice";
import { Confirm } from "../../components/Confirm";
import { Field } from "../../components/Field";
import { Moment } from "../../components/Moment";
import { PageHead } from "../../components/PageHead";
import { PagedTable } from "../../components/PagedTable";
import { Status, type Tone } from "../../components/Status";
import { given, textOf } from "../../components/textOf";
import { useFields } from "../../components/useFields";
import { useLivePages } from "../../components/useLivePages";
import { visible } from "../../components/visible";
import { shortId } from "../../components/shortId";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { useShortcuts } from "../../keys/shortcuts";
import { Opened } from "./Opened";
import { callbacksTexts } from "./texts";
import "../../components/Part.css";
import "./callbacks.css";

type Delivery = components["schemas"]["CallbackDelivery"];
type State = Delivery["state"];
type End = "completed" | "failed" | "stopped";

const STATES: readonly State[] = ["pending", "delivered", "dead"];
const ENDS: readonly End[] = ["completed", "failed", "stopped"];
const TONES: Record<State, Tone> = { pending: "busy", delivered: "good", dead: "bad" };
/** Of one step of a resending. */
const STEP = 500;

interface Search {
  tenant?: unknown;
  task?: unknown;
  state?: unknown;
  event?: unknown;
  callback?: unknown;
}

/** What was and is to be sent to whoever asked for a task's end; what is searched and open stands in the address. */
export default function CallbacksPage() {
  const t = useTexts(callbacksTexts);
  const format = useFormat();
  const session = useSession();
  const navigate = useNavigate();
  const search: Search = useSearch({ strict: false });
  const kept = { tenant: textOf(search.tenant), task: textOf(search.task) };
  const state = STATES.find((one) => one === search.state);
  const event = ENDS.find((one) => one === search.event);
  const opened = textOf(search.callback);
  const [fields, setFields] = useFields(kept);
  const [sent, setSent] = useState<{ count: number; isOver: boolean } | null>(null);
  const whose = {
    ...(kept.tenant === "" ? {} : { tenant_id: kept.tenant }),
    ...(kept.task === "" ? {} : { task_id: kept.task }),
    ...(event === undefined ? {} : { event }),
  };
  const query = { ...whose, ...(state === undefined ? {} : { state }) };
  const key = ["callbacks", query];
  const found = useInfiniteQuery({
    queryKey: key,
    gcTime: 0,
    initialPageParam: null as string | null,
    queryFn: ({ pageParam, signal }) =>
      dataOf(api.GET("/gateway/v1/callbacks", { params: { query: { ...query, ...(pageParam === null ? {} : { cursor: pageParam }) } }, signal })),
    getNextPageParam: (page) => page.next_cursor,
  });
  const live = useLivePages(found, key, ["callback"], kept.tenant === "" ? undefined : kept.tenant);
  useShortcuts([{ keys: "/", label: t.search, run: () => document.querySelector<HTMLInputElement>("form[role=search] input")?.focus() }]);
  const go = (next: Search) => void navigate({ to: "/callbacks", search: { ...search, ...next } });
  const searchFor = (chosen: Search) => go({ tenant: undefined, task: undefined, ...given(fields), ...chosen });
  const submit = (submitted: SyntheticEvent) => {
    submitted.preventDefault();
    searchFor({});
  };
  const resendAll = async () => {
    let count = 0;
    // What is given up again meanwhile stays: a receiver may end each at once.
    let before: { given_up_before?: string } = {};
    for (;;) {
      setSent({ count, isOver: false });
      const { resent, given_up_before } = await dataOf(api.POST("/gateway/v1/callbacks/resend", { body: { ...whose, ...before, limit: STEP } }));
      if (resent === 0) break;
      count += resent;
      before = { given_up_before };
    }
    setSent({ count, isOver: true });
    live.readAgain();
  };
  const callbacks = found.data?.pages.flatMap((page) => page.callbacks) ?? [];
  const searched = ([[t.tenant, kept.tenant], [t.task, kept.task], [t.event, event === undefined ? "" : t[event]]] as const).filter(([, text]) => text !== "");
  const resends = may(session, "redrive", { tenant_id: kept.tenant });
  return (
    <>
      <PageHead title={t.title}>
        {resends && session.only_project === null && (
          <Confirm label={t.resendAll} ask={t.resendAllAsk} leave={t.leave} weight="plain" confirm={resendAll}>
            <p>{t.resendAllHelp}</p>
            {searched.length > 0 && <p>{visible(searched.map(([label, text]) => `${label}: ${text}`).join(", "))}</p>}
          </Confirm>
        )}
      </PageHead>
      {sent !== null && <p role="status">{sent.isOver ? t.resent(format.number(sent.count)) : t.resending(format.number(sent.count))}</p>}
      <form role="search" onSubmit={submit} className="part-form">
        <div className="part-fields">
          <Field label={t.tenant} value={fields.tenant} onChange={(text) => setFields({ ...fields, tenant: text })} maxLength={255} />
          <Field label={t.task} value={fields.task} onChange={(text) => setFields({ ...fields, task: text })} maxLength={255} />
          <Choice
            label={t.state}
            value={state ?? ""}
            options={[["", t.any], ...STATES.map((one) => [one, t[one]] as const)]}
            onChange={(one) => searchFor({ state: one === "" ? undefined : one })}
          />
          <Choice
            label={t.event}
            value={event ?? ""}
            options={[["", t.any], ...ENDS.map((one) => [one, t[one]] as const)]}
            onChange={(one) => searchFor({ event: one === "" ? undefined : one })}
          />
        </div>
        <div>
          <Button type="submit">{t.search}</Button>
        </div>
      </form>
      {opened !== "" && <Opened key={opened} id={opened} close={() => go({ callback: undefined })} />}
      <PagedTable
        pages={found}
        label={t.title}
        columns={[t.callback, t.state, t.task, t.tenant, t.receiver, t.attempts, t.answer, t.created, t.next, ...(resends ? [t.actions] : [])]}
        none={t.none}
        noneHelp={t.noneHelp}
        more={t.more}
      >
        {callbacks.map((one) => (
          <tr key={one.id}>
            <td>
              <Link to="/callbacks" search={{ ...search, callback: one.id }} title={one.id}>
                <code>{one.id.slice(0, 12)}</code>
              </Link>
            </td>
            <td>
              <Status tone={TONES[one.state]}>{t[one.state]}</Status>
            </td>
            <td>
              {one.task_id === "" ? (
                t.operators
              ) : (
                <Link to="/tasks/$taskId" params={{ taskId: one.task_id }} preload={false}>
                  <code>{shortId(one.task_id)}</code>
                </Link>
              )}{" "}
              {t[one.event]}
            </td>
            <td>{one.tenant_id ?? "–"}</td>
            <td className="callback-url">{visible(one.url)}</td>
            <td>{format.number(one.attempts)}</td>
            <td className="callback-url" dir="auto">
              {[one.status?.toString(), one.error === null ? undefined : visible(one.error)].filter((text) => text !== undefined).join(", ") || "–"}
            </td>
            <td>
              <Moment at={one.created_at} />
            </td>
            <td>{one.due_at === null ? "–" : <Moment at={one.due_at} />}</td>
            {resends && (
              <td>
                {one.state !== "pending" && may(session, "redrive", one) && (
                  <Confirm
                    label={t.resend}
                    about={one.id}
                    ask={t.resendAsk}
                    leave={t.leave}
                    weight="plain"
                    confirm={async () => {
                      await api.POST("/gateway/v1/callbacks/{id}/resend", { params: { path: { id: one.id } } });
                      live.readAgain();
                    }}
                  >
                    <p>{t.resendHelp}</p>
                  </Confirm>
                )}
              </td>
            )}
          </tr>
        ))}
      </PagedTable>
      <AsOf found={found} live={live} />
    </>
  );
}
