import { type KeyboardEvent, useId, useState } from "react";

interface EntryProps {
  label: string;
  value: string;
  /** With Enter, and when the field is left; an empty text: nothing. Gives what is wrong with it. */
  commit: (value: string) => string | null;
  offered?: readonly string[];
  isNumber?: boolean;
  autoFocus?: boolean;
}

/** A line of the panel. Another value from outside is another field: give it a key. */
export function Entry({ label, value, commit, offered, isNumber = false, autoFocus = false }: EntryProps) {
  const id = useId();
  const [typed, setTyped] = useState(value);
  const [fault, setFault] = useState<string | null>(null);
  const send = () => {
    if (typed.trim() !== value) setFault(commit(typed.trim()));
  };
  const pressed = (event: KeyboardEvent) => {
    if (event.key === "Enter") send();
    if (event.key === "Escape") setTyped(value);
  };
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        value={typed}
        autoFocus={autoFocus}
        inputMode={isNumber ? "decimal" : undefined}
        list={offered === undefined ? undefined : `${id}-list`}
        aria-invalid={fault !== null}
        aria-describedby={fault === null ? undefined : `${id}-fault`}
        onChange={(event) => setTyped(event.target.value)}
        onKeyDown={pressed}
        onBlur={send}
      />
      {offered !== undefined && (
        <datalist id={`${id}-list`}>
          {offered.map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
      )}
      {fault !== null && (
        <span id={`${id}-fault`} className="editor-fault" role="alert">
          {fault}
        </span>
      )}
    </div>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  choices: readonly (readonly [value: string, name: string])[];
  commit: (value: string) => void;
}

export function Choice({ label, value, choices, commit }: ChoiceProps) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select id={id} className="editor-select" value={value} onChange={(event) => commit(event.target.value)}>
        {choices.map(([one, name]) => (
          <option key={one} value={one}>
            {name}
          </option>
        ))}
      </select>
    </div>
  );
}
