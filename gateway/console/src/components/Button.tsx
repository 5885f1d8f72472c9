import { Button as AriaButton, type ButtonProps } from "react-aria-components";
import "./Button.css";

export type Weight = "plain" | "primary" | "danger" | "bare";

/** `primary`: what the page is for, one at most; `danger`: what cannot be taken back; `bare`: without a frame. */
export function Button({ weight = "plain", ...props }: Omit<ButtonProps, "className"> & { weight?: Weight }) {
  return <AriaButton {...props} className={`button button-${weight}`} />;
}
