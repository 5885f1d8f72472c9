import { useEffect, useRef, useState } from "react";
import { api, dataOf } from "../../api/client";
import { jsonText } from "../../api/json";
import type { components } from "../../api/schema";
import { Button } from "../../components/Button";
import { Failure } from "../../components/Failure";
import { useAct } from "../../components/useAct";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { auditTexts } from "./texts";

const STEP = 1000;

/** All entries that are asked for in one file: CloudEvents, one a line, the oldest first. */
export function Export({ which }: { which: Record<string, string> }) {
  const t = useTexts(auditTexts);
  const format = useFormat();
  const { act, error } = useAct();
  const [read, setRead] = useState<{ count: number; isOver: boolean } | null>(null);
  const abort = useRef<AbortController | null>(null);
  useEffect(() => () => abort.current?.abort(), []);
  const save = async () => {
    const { signal } = (abort.current = new AbortController());
    const parts: string[] = [];
    let count = 0;
    let cursor: string | null = null;
    for (;;) {
      setRead({ count, isOver: false });
      const page: components["schemas"]["AuditEvents"] = await dataOf(
        api.GET("/gateway/v1/audit/events", { params: { query: { ...which, limit: STEP, ...(cursor === null ? {} : { cursor }) } }, signal }),
      );
      if (page.events.length === 0) break;
      parts.push(...page.events.map((event) => `${jsonText(event)}\n`));
      count += page.events.length;
      cursor = page.next_cursor;
    }
    const url = URL.createObjectURL(new Blob(parts, { type: "application/x-ndjson" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = "taskgate-audit.ndjson";
    link.click();
    URL.revokeObjectURL(url);
    setRead({ count, isOver: true });
  };
  return (
    <>
      {read !== null && <p role="status">{read.isOver ? t.exported(format.number(read.count)) : t.exporting(format.number(read.count))}</p>}
      <Button
        onPress={() => act(() => save().catch((problem: unknown) => {
          setRead(null);
          throw problem;
        }))}
        isDisabled={read?.isOver === false}
      >
        {t.export}
      </Button>
      {error !== null && <Failure error={error} />}
    </>
  );
}
