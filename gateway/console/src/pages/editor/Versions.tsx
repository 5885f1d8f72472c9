import { useQuery } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { api, dataOf } from "../../api/client";
import { Button } from "../../components/Button";
import { Confirm } from "../../components/Confirm";
import { Failure } from "../../components/Failure";
import { Moment } from "../../components/Moment";
import { Table } from "../../components/Table";
import { useAct } from "../../components/useAct";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { useNews } from "../../streams/useNews";
import { useReadAgain } from "../../streams/useReadAgain";
import { LazyComparison } from "./LazyComparison";
import { type Place, type Saved, readVersion } from "./saved";
import { editorTexts } from "./texts";

interface VersionsProps {
  place: Place;
  /** The version that the page knows to be in use. */
  current: number;
  text: string;
  canEdit: boolean;
  /** The text of a version is to be edited. */
  take: (text: string) => void;
  rolledBack: () => void;
}

/** The versions there are; each can be compared with the text, taken into it, or used again. */
export function Versions({ place, current, text, canEdit, take, rolledBack }: VersionsProps) {
  const t = useTexts(editorTexts);
  const format = useFormat();
  const key = ["dag-versions", place.tenant, place.name, current];
  const readAgain = useReadAgain(key);
  const [shown, setShown] = useState<Saved | null>(null);
  // Who closes what is shown goes on from there.
  const opener = useRef<HTMLElement>(null);
  const { act, error } = useAct(readAgain);
  const found = useQuery({
    queryKey: key,
    gcTime: 0,
    queryFn: ({ signal }) => dataOf(api.GET("/gateway/v1/dags/{name}/versions", { params: { path: { name: place.name }, query: place.query }, signal })),
  });
  useNews(["dag"], readAgain, place.tenant ?? undefined);
  const open = (version: number, then: (saved: Saved) => void) => act(() => readVersion(place, version).then(then));
  return (
    <section className="part" aria-labelledby="editor-versions">
      <h2 id="editor-versions">{t.versions}</h2>
      {(found.isError || error !== null) && <Failure error={error ?? found.error} />}
      <Table columns={[t.version, t.label, t.by, t.made, t.nodes, t.actions]} labelledBy="editor-versions">
        {found.data?.versions.map((one) => (
          <tr key={one.version}>
            <td>
              {format.number(one.version)} {one.is_current === true && <span className="editor-mark editor-mark-added">{t.current}</span>}
            </td>
            <td dir="auto">{visible(one.label ?? "–")}</td>
            <td>{one.created_by ?? "–"}</td>
            <td>{one.created_at == null ? "–" : <Moment at={one.created_at} />}</td>
            <td>{format.number(one.nodes)}</td>
            <td>
              <div className="editor-buttons">
                <Button
                  aria-label={t.compareWith(format.number(one.version))}
                  onPress={({ target }) => {
                    opener.current = target as HTMLElement;
                    open(one.version, setShown);
                  }}
                >
                  {t.compare}
                </Button>
                {canEdit && (
                  <Button aria-label={t.takeVersion(format.number(one.version))} onPress={() => open(one.version, (saved) => take(saved.text))}>
                    {t.take}
                  </Button>
                )}
                {canEdit && one.is_current !== true && (
                  <Confirm
                    label={t.rollBack}
                    ask={t.rollBackAsk(format.number(one.version))}
                    leave={t.leave}
                    confirm={() =>
                      act(() =>
                        api
                          .POST("/gateway/v1/dags/{name}/rollback", { params: { path: { name: place.name }, query: place.query }, body: { version: one.version } })
                          .then(rolledBack),
                      )
                    }
                  >
                    <p>{t.rollBackHelp}</p>
                  </Confirm>
                )}
              </div>
            </td>
          </tr>
        ))}
      </Table>
      {shown !== null && (
        <div className="part">
          <LazyComparison before={{ name: t.versionOf(format.number(shown.version)), text: shown.text }} after={{ name: t.yourText, text }} />
          <Button
            onPress={() => {
              setShown(null);
              opener.current?.focus();
            }}
          >
            {t.close}
          </Button>
        </div>
      )}
    </section>
  );
}
