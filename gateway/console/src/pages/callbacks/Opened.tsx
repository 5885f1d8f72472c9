import { useQuery } from "@tanstack/react-query";
import { api, dataOf } from "../../api/client";
import { Button } from "../../components/Button";
import { Failure } from "../../components/Failure";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { callbacksTexts } from "./texts";

/** One callback with what is sent. */
export function Opened({ id, close }: { id: string; close: () => void }) {
  const t = useTexts(callbacksTexts);
  const found = useQuery({
    queryKey: ["callback", id],
    gcTime: 0,
    queryFn: ({ signal }) => dataOf(api.GET("/gateway/v1/callbacks/{id}", { params: { path: { id } }, signal })),
  });
  return (
    <section className="part part-notice" aria-labelledby="callback-opened">
      <div className="page-head">
        <h2 id="callback-opened">{t.opened(id)}</h2>
        <Button weight="bare" onPress={close}>
          {t.close}
        </Button>
      </div>
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {found.data !== undefined && (
        <>
          <p className="callback-url">{visible(found.data.url)}</p>
          <h3>{t.body}</h3>
          <pre className="part-text" tabIndex={0} aria-label={t.body} dir="auto">
            {visible(JSON.stringify(found.data.body, null, 2))}
          </pre>
        </>
      )}
    </section>
  );
}
