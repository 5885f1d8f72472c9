import { useId } from "react";
import "./Field.css";

interface ChoiceProps<T extends string> {
  label: string;
  value: T;
  /** What there is, with its name. */
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
  autoFocus?: boolean;
}

/** One of a few. */
export function Choice<T extends string>({ label, value, options, onChange, autoFocus = false }: ChoiceProps<T>) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => onChange(event.target.value as T)} autoFocus={autoFocus}>
        {options.map(([one, name]) => (
          <option key={one} value={one}>
            {name}
          </option>
        ))}
      </select>
    </div>
  );
}
