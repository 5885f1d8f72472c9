import { FieldError, Input, Label, Text, TextField, type TextFieldProps } from "react-aria-components";
import "./Field.css";

interface FieldProps extends Omit<TextFieldProps, "className" | "children"> {
  label: string;
  help?: string;
  error?: string | undefined;
}

/** A line of text to be entered. */
export function Field({ label, help, error, ...props }: FieldProps) {
  return (
    <TextField {...props} className="field" isInvalid={error !== undefined}>
      <Label>{label}</Label>
      <Input />
      {help !== undefined && (
        <Text slot="description" className="field-help">
          {help}
        </Text>
      )}
      <FieldError>{error}</FieldError>
    </TextField>
  );
}
