import { useQuery } from "@tanstack/react-query";
import { Link, useParams, useSearch } from "@tanstack/react-router";
import { useEffect } from "react";
import { useTexts } from "../../i18n/catalogue";
import { Failure } from "../../components/Failure";
import { Empty } from "../../components/Empty";
import { useSession } from "../../api/session";
import { Editor } from "./Editor";
import { prepareLayout } from "../run/layoutWorker";
import { prepareReader } from "./model/reader";
import { placeOf, readSurroundings, readVersion } from "./saved";
import { isTemplate, templateText } from "./templates";
import { editorTexts } from "./texts";
import "../../components/Part.css";
import "./editor.css";

export default function EditorPage() {
  const { name }: { name: string } = useParams({ strict: false });
  const search: { tenant?: unknown; template?: unknown } = useSearch({ strict: false });
  const tenant = typeof search.tenant === "string" ? search.tenant : null;
  return <Opening key={JSON.stringify([name, tenant])} name={name} tenant={tenant} template={isTemplate(search.template) ? search.template : "empty"} />;
}

function Opening({ name, tenant, template }: { name: string; tenant: string | null; template: Parameters<typeof isTemplate>[0] }) {
  const t = useTexts(editorTexts);
  const session = useSession();
  const place = placeOf(name, tenant);
  useEffect(prepareLayout, []);
  const isNobodys = tenant === null && session.tenant_ids.length === 0;
  const found = useQuery({
    queryKey: ["dag", tenant, name],
    enabled: !isNobodys,
    gcTime: 0,
    queryFn: async () => {
      const around = await readSurroundings(place);
      if (around.current !== null) prepareReader(around.current.text);
      if (around.current !== null) return { around, text: around.current.text };
      const chosen = isTemplate(template) ? template : "empty";
      // The episode DAG names itself, and so must the copy.
      const text = chosen === "episode" ? (await readVersion(placeOf("episode", tenant), null)).text.replace(/^name: .*\n/, `name: ${name}\n`) : templateText(chosen);
      return { around, text };
    },
  });
  return (
    <>
      <p>
        <Link to="/dags">{t.all}</Link>
      </p>
      {isNobodys && (
        <Empty title={t.noTenant}>
          <p>{t.noTenantHelp}</p>
        </Empty>
      )}
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {found.isLoading && <p>{t.loading}</p>}
      {found.data !== undefined && <Editor place={place} around={found.data.around} initial={found.data.text} />}
    </>
  );
}
