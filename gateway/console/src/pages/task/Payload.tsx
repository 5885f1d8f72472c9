import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, dataOf } from "../../api/client";
import { jsonText } from "../../api/json";
import { Button } from "../../components/Button";
import { Failure } from "../../components/Failure";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { taskTexts } from "./texts";

/** What the task was given, once the reader asks for it. */
export function Payload({ taskId }: { taskId: string }) {
  const t = useTexts(taskTexts);
  const format = useFormat();
  const [isAsked, setAsked] = useState(false);
  const found = useQuery({
    queryKey: ["task", taskId, "payload"],
    enabled: isAsked,
    // Forgotten as soon as it is hidden.
    gcTime: 0,
    queryFn: ({ signal }) => dataOf(api.GET("/gateway/v1/tasks/{task_id}/payload", { params: { path: { task_id: taskId } }, signal })),
  });
  return (
    <section className="part" aria-labelledby="task-payload">
      <h2 id="task-payload">{t.payload}</h2>
      <p className="part-help">{t.payloadHelp}</p>
      <div>
        <Button onPress={() => setAsked(!isAsked)}>{isAsked ? t.hide : t.load}</Button>
      </div>
      {isAsked && found.isError && <Failure error={found.error} />}
      {isAsked && found.data !== undefined && (
        <>
          {found.data.is_cut && <p>{t.cut(format.number(found.data.bytes))}</p>}
          <pre className="part-text" tabIndex={0} aria-label={t.payload} dir="auto">
            {visible(typeof found.data.payload === "string" ? found.data.payload : jsonText(found.data.payload, 2))}
          </pre>
        </>
      )}
    </section>
  );
}
