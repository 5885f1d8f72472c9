import { useState } from "react";
import { api, dataOf } from "../../api/client";
import { useSession } from "../../api/session";
import { Choice } from "../../components/Choice";
import { Confirm } from "../../components/Confirm";
import { Field } from "../../components/Field";
import { useTexts } from "../../i18n/catalogue";
import type { MadeKey } from "./KeysPage";
import { keysTexts } from "./texts";

const SCOPES = ["read", "submit", "operate", "admin"] as const;
type Scope = (typeof SCOPES)[number];

const EMPTY = { name: "", tenant: "", project: "", user: "", expires: "", limit: "" };
const MOST_REQUESTS = 10_000_000;

/** Asks for what a key is to be good for. */
export function CreateKey({ made }: { made: (key: MadeKey) => void }) {
  const t = useTexts(keysTexts);
  const session = useSession();
  const [scope, setScope] = useState<Scope>("submit");
  const [fields, setFields] = useState(EMPTY);
  const perMinute = fields.limit.trim() === "" ? null : Number(fields.limit);
  const isLimitWrong = perMinute !== null && !(Number.isInteger(perMinute) && perMinute >= 1 && perMinute <= MOST_REQUESTS);
  const field = (name: keyof typeof EMPTY) => ({
    value: fields[name],
    onChange: (text: string) => setFields({ ...fields, [name]: text }),
    maxLength: 255,
  });
  const send = async (why: string) => {
    const of = (text: string) => text.trim() || null;
    made(
      await dataOf(
        api.POST("/gateway/v1/keys", {
          body: {
            name: fields.name.trim(),
            scope,
            tenant_id: of(fields.tenant),
            project_id: of(fields.project),
            user_id: of(fields.user),
            expires_at: fields.expires === "" ? null : new Date(fields.expires).toISOString(),
            per_minute: perMinute,
            why: why || null,
          },
        }),
      ),
    );
  };
  return (
    <Confirm
      label={t.create}
      ask={t.create}
      leave={t.leave}
      weight="primary"
      isReady={fields.name.trim() !== "" && !isLimitWrong}
      why={t.why}
      hasFields
      opened={() => {
        setScope("submit");
        // Whoever is no administrator makes keys of one tenant, and with a key for one project keys of that project.
        setFields({ ...EMPTY, tenant: session.is_admin ? "" : (session.tenant_ids[0] ?? ""), project: session.only_project ?? "" });
      }}
      confirm={send}
    >
      <p>{t.createHelp}</p>
      <Field {...field("name")} label={t.name} help={t.nameHelp} isRequired autoFocus />
      <Choice label={t.scope} value={scope} options={SCOPES.map((one) => [one, t[`scope_${one}`]] as const)} onChange={setScope} />
      <Field {...field("tenant")} label={t.tenant} help={t.tenantHelp} />
      <Field {...field("project")} label={t.project} help={t.projectHelp} />
      {session.is_admin && <Field {...field("user")} label={t.user} help={t.userHelp} />}
      <Field {...field("expires")} label={t.expires} help={t.expiresHelp} type="datetime-local" />
      <Field {...field("limit")} label={t.limit} help={t.limitHelp} inputMode="numeric" error={isLimitWrong ? t.limitWrong : undefined} />
    </Confirm>
  );
}
