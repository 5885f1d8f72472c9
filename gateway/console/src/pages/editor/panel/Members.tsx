import { useState } from "react";
import { Button } from "../../../components/Button";
import { useTexts } from "../../../i18n/catalogue";
import { CodeField } from "../text/CodeField";
import type { Suggestions } from "../model/completion";
import { editorTexts } from "../texts";
import { Entry } from "./Entry";
import { understood, written } from "./values";

interface MembersProps {
  title: string;
  values: Record<string, unknown>;
  /** Those that can be taken out; the others come by an alias. */
  own: readonly string[];
  suggest: (before: string) => Suggestions | null;
  set: (name: string, value: unknown) => void;
  takeOut: (name: string) => void;
}

/** Names and values, each on a line; a value is YAML with `${ … }`. */
export function Members({ title, values, own, suggest, set, takeOut }: MembersProps) {
  const t = useTexts(editorTexts);
  const [fault, setFault] = useState<string | null>(null);
  const [added, setAdded] = useState(0);
  const names = Object.keys(values);
  return (
    <fieldset className="editor-members">
      <legend>{title}</legend>
      {names.map((name) => (
        <div key={`${name} ${written(values[name])}`} className="editor-member">
          <CodeField
            label={name}
            value={written(values[name])}
            suggest={suggest}
            error={fault === name ? t.notYaml : null}
            commit={(text) => {
              const found = understood(text);
              setFault(found === null ? name : null);
              if (found !== null) set(name, found.value);
            }}
          />
          {own.includes(name) ? (
            <Button weight="bare" aria-label={t.takeOut(name)} onPress={() => takeOut(name)}>
              ✕
            </Button>
          ) : (
            <span className="editor-taken">{t.byAlias}</span>
          )}
        </div>
      ))}
      <Entry
        key={`new ${added}`}
        label={t.addMember}
        value=""
        commit={(name) => {
          if (name === "") return null;
          if (names.includes(name)) return t.taken;
          setAdded(added + 1);
          set(name, "");
          return null;
        }}
      />
    </fieldset>
  );
}
