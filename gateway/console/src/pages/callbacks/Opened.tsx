import { useQuery } from "@tanstack/react-query";
import { api, dataOf } from "../../api/client";
import { jsonText } from "../../api/json";
import { Detail } from "../../components/Detail";
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
    <Detail className="part part-notice" title={t.opened(id)} closeText={t.close} close={close}>
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {found.data !== undefined && (
        <>
          <p className="callback-url">{visible(found.data.url)}</p>
          <h3>{t.body}</h3>
          <pre className="part-text" tabIndex={0} aria-label={t.body} dir="auto">
            {visible(jsonText(found.data.body, 2))}
          </pre>
        </>
      )}
    </Detail>
  );
}
