import { EditorView } from "@codemirror/view";
import { useCallback, useEffect, useEffectEvent, useMemo, useRef, useState } from "react";
import { may, useSession } from "../../api/session";
import { Button } from "../../components/Button";
import { Failure } from "../../components/Failure";
import { Moment } from "../../components/Moment";
import { PageHead } from "../../components/PageHead";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { Canvas } from "./Canvas";
import { Outline } from "./Outline";
import { Palette } from "./Palette";
import { RunDialog } from "./RunDialog";
import { SaveDialog } from "./SaveDialog";
import { Versions } from "./Versions";
import { draftKey, dropDraft, keepDraft, readDraft } from "./draft";
import { countByPlace, faultsOf } from "./faults";
import { inYaml } from "./model/completion";
import type { Edit } from "./model/edit";
import { freshName } from "./names";
import { Panel } from "./panel/Panel";
import { useKeptFocus } from "./panel/useKeptFocus";
import type { Place, Saved, Surroundings } from "./saved";
import { TextPane } from "./text/TextPane";
import { editorTexts } from "./texts";
import { useCheck } from "./useCheck";
import { useDag } from "./useDag";

/** Milliseconds after the last change before the draft is kept. */
const KEEP = 300;
/** Faults that are listed. */
const MOST = 50;

interface EditorProps {
  place: Place;
  around: Surroundings;
  initial: string;
}

export function Editor({ place, around, initial }: EditorProps) {
  const t = useTexts(editorTexts);
  const format = useFormat();
  const session = useSession();
  const key = draftKey(session.user_id, place.tenant, place.name);
  const [draft] = useState(() => readDraft(key));
  const [current, setCurrent] = useState<Saved | null>(around.current);
  const [base, setBase] = useState(draft?.base ?? around.current?.version ?? 0);
  const [hasDraft, setDraft] = useState(draft !== null && draft.text !== initial);
  const [news, setNews] = useState<string | null>(null);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set(["dag"]));
  const [anyTypes, setAnyTypes] = useState(false);
  const panel = useRef<HTMLElement>(null);
  useKeptFocus(panel);
  const dag = useDag(draft?.text ?? initial);
  const { text, definition, latest, isOld, view } = dag;
  const isBuiltIn = around.current?.isBuiltIn === true;
  const canEdit = may(session, "define", { tenant_id: place.tenant }) && !isBuiltIn;
  const known = useMemo(() => ({ types: around.types, dags: around.dags }), [around]);
  const savedText = current?.text ?? null;
  const isChanged = text !== savedText;

  // The draft -----------------------------------------------------------------------------------------------------
  const isKept = useRef(true);
  const keep = useEffectEvent(() => {
    if (!canEdit || isKept.current) return;
    isKept.current = true;
    if (text === (savedText ?? initial)) dropDraft(key);
    else if (!keepDraft(key, { text, base, at: new Date().toISOString() })) setNews(t.draftNotKept);
  });
  useEffect(() => {
    isKept.current = false;
    const timer = setTimeout(() => keep(), KEEP);
    return () => clearTimeout(timer);
  }, [canEdit, text, savedText, initial, key, base]);
  // Whoever leaves, or whose session ends, loses nothing of what was written last.
  useEffect(() => {
    const leave = () => keep();
    addEventListener("pagehide", leave);
    return () => {
      removeEventListener("pagehide", leave);
      leave();
    };
  }, []);

  // Faults --------------------------------------------------------------------------------------------------------
  const checked = useCheck(text, place.tenant, anyTypes);
  const faults = useMemo(() => faultsOf(text, latest, checked), [text, latest, checked]);
  const counts = useMemo(() => countByPlace(faults), [faults]);
  const goTo = (line: number | null, at: string) => {
    setChosen(new Set([at]));
    if (view === null || line === null) return;
    const from = view.state.doc.line(Math.min(line, view.state.doc.lines)).from;
    view.dispatch({ selection: { anchor: from }, effects: EditorView.scrollIntoView(from, { y: "center" }) });
    view.focus();
  };

  // Edits ---------------------------------------------------------------------------------------------------------
  const { edit: make } = dag;
  const edit = useCallback(
    async (wanted: Edit) => {
      const isMade = await make(wanted);
      setNews(isMade ? null : t.refused);
      return isMade;
    },
    [make, t],
  );
  const choose = useCallback(
    (ids: ReadonlySet<string>) => {
      setChosen(ids);
      const [id] = ids.size === 1 ? ids : [];
      const node = definition.nodes.find((one) => `node:${one.name}` === id) ?? definition.params.find((one) => `param:${one.name}` === id);
      if (node !== undefined && view !== null && !isOld) view.dispatch({ effects: EditorView.scrollIntoView(Math.min(node.from, view.state.doc.length), { y: "start", yMargin: 20 }) });
    },
    [definition, view, isOld],
  );
  const chosenNodes = [...chosen].filter((id) => id.startsWith("node:")).map((id) => id.slice(5));
  const add = async (fields: Record<string, unknown>, after: readonly string[]) => {
    const does = Object.values(fields)[0];
    const name = freshName(typeof does === "string" ? does : (Object.keys(fields)[0] ?? "node"), new Set(definition.nodes.map((node) => node.name)));
    const needs = after.filter((one) => definition.nodes.some((node) => node.name === one));
    if (await edit({ is: "add", name, fields: { ...fields, ...(needs.length > 0 ? { needs } : {}) } })) setChosen(new Set([`node:${name}`]));
  };
  const remove = async (names: readonly string[]) => {
    if (names.length > 0 && (await edit({ is: "remove", names }))) setChosen(new Set(["nodes"]));
  };
  const removeChosen = async () => {
    const [id] = chosen.size === 1 ? chosen : [""];
    if (id?.startsWith("param:") === true) {
      if (await edit({ is: "set", place: ["params", id.slice(6)] })) setChosen(new Set(["params"]));
    } else await remove(chosenNodes);
  };
  const rename = async (name: string, to: string) => {
    if (await edit({ is: "rename", name, to })) setChosen(new Set([`node:${to}`]));
  };
  const saved = (version: number, isNew: boolean, what: string) => {
    if (isNew) {
      setCurrent({ version, text: what, isBuiltIn: false });
      setBase(version);
      setDraft(false);
    }
    setNews(isNew ? t.saved(format.number(version)) : t.sameVersion(format.number(version)));
  };
  const discard = () => {
    dag.replace(savedText ?? initial);
    setBase(current?.version ?? 0);
    setDraft(false);
  };

  return (
    <div
      className="editor"
      onKeyDown={(event) => {
        const isUndo = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
        if (!isUndo || event.defaultPrevented || event.target instanceof HTMLInputElement) return;
        event.preventDefault();
        if (event.shiftKey) dag.redo();
        else dag.undo();
      }}
    >
      <PageHead title={place.name}>
        {canEdit && (
          <>
            <Button isDisabled={!dag.canUndo} onPress={dag.undo}>
              {t.undo}
            </Button>
            <Button isDisabled={!dag.canRedo} onPress={dag.redo}>
              {t.redo}
            </Button>
          </>
        )}
        {current !== null && may(session, "submit") && <RunDialog place={place} current={current} isChanged={isChanged} />}
        {canEdit && <SaveDialog place={place} text={text} base={base} anyTypes={anyTypes} isDisabled={!isChanged} saved={saved} />}
      </PageHead>
      <p className="part-line">
        <span>{current === null ? t.unsaved : t.versionOf(format.number(current.version))}</span>
        {isChanged && <span className="editor-mark editor-mark-changed">{t.changedMark}</span>}
        {isBuiltIn && <span>{t.builtIn}</span>}
        <span role="status">{news}</span>
      </p>
      {hasDraft && draft !== null && (
        <div className="editor-note" role="status">
          <p>
            {t.draftShown} <Moment at={draft.at} />
            {draft.base !== (current?.version ?? 0) && ` ${t.draftOld(format.number(draft.base), format.number(current?.version ?? 0))}`}
          </p>
          <div className="editor-buttons">
            <Button onPress={() => setDraft(false)}>{t.goOn}</Button>
            <Button weight="danger" onPress={discard}>
              {t.discard}
            </Button>
          </div>
        </div>
      )}
      <div className="editor-stage">
        <div className="editor-side">
          {canEdit && <Palette types={around.types} dags={around.dags} add={(fields) => void add(fields, chosenNodes)} />}
          <Outline definition={definition} faults={counts} chosen={chosen} choose={choose} open={() => panel.current?.querySelector("input")?.focus()} remove={() => canEdit && void removeChosen()} />
        </div>
        <section className="editor-middle" aria-label={t.canvas}>
          <Canvas
            definition={definition}
            chosen={chosen}
            faults={counts}
            isOld={!latest.isRead}
            {...(canEdit
              ? {
                  acts: {
                    choose,
                    connect: (source: string, target: string) => void edit({ is: "connect", source, target }),
                    disconnect: (source: string, target: string) => void edit({ is: "disconnect", source, target }),
                    remove: (names: string[]) => void remove(names),
                    add: (fields: Record<string, unknown>, after: string | null) => void add(fields, after === null ? [] : [after]),
                  },
                }
              : {})}
          />
          <p className="part-help">{t.canvasHelp}</p>
        </section>
        <TextPane
          initial={draft?.text ?? initial}
          canEdit={canEdit}
          marks={faults}
          suggest={(now, position) => inYaml(now, position, definition, known)}
          changed={dag.changed}
          moved={(position) => {
            const node = isOld ? undefined : definition.nodes.find((one) => one.from <= position && position <= one.to);
            if (node !== undefined) setChosen(new Set([`node:${node.name}`]));
          }}
          opened={dag.opened}
        />
      </div>
      <section className="editor-faults" aria-label={t.faultsTitle}>
        <p role="status">
          {latest.faults.length === 0 && checked?.text !== text ? t.checking : faults.length === 0 ? (checked?.check?.valid === true ? t.valid : "") : t.faults(format.number(faults.length))}
        </p>
        {checked?.error != null && <Failure error={checked.error} />}
        <ul>
          {faults.slice(0, MOST).map(({ message, line, at }, place) => (
            <li key={`${at} ${line ?? ""} ${message} ${place}`}>
              <button type="button" className="editor-fault-link" onClick={() => goTo(line, at)}>
                {line !== null && <span>{t.line(format.number(line))}</span>} {message}
              </button>
            </li>
          ))}
        </ul>
        <label className="editor-any">
          <input type="checkbox" checked={anyTypes} onChange={(event) => setAnyTypes(event.target.checked)} /> {t.anyTypes}
        </label>
      </section>
      {canEdit && (
        <section className="editor-panel" aria-labelledby="editor-panel-title" tabIndex={-1} ref={panel}>
          <Panel
            chosen={chosen}
            definition={definition}
            known={known}
            edit={(wanted) => void edit(wanted)}
            rename={(name, to) => void rename(name, to)}
            choose={choose}
            remove={() => void removeChosen()}
          />
        </section>
      )}
      {current !== null && (
        <Versions
          key={current.version}
          current={current.version}
          place={place}
          text={text}
          canEdit={canEdit}
          take={(other) => {
            dag.replace(other);
            scrollTo({ top: 0 });
          }}
          rolledBack={() => location.reload()}
        />
      )}
    </div>
  );
}
