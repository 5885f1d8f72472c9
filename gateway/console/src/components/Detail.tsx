import { type KeyboardEvent, type ReactNode, useEffect, useId, useRef } from "react";
import { Button } from "./Button";
import "./PageHead.css";

interface DetailProps {
  title: ReactNode;
  closeText: string;
  close: () => void;
  /** What can be done with it, beside the title. */
  actions?: ReactNode;
  className: string;
  children: ReactNode;
}

/**
 * One thing of a list or a picture, opened on the same page. Whoever opens it by keyboard goes on reading at its title;
 * Escape or the button close it, and they are back at what opened it.
 */
export function Detail({ title, closeText, close, actions, className, children }: DetailProps) {
  const id = useId();
  const heading = useRef<HTMLHeadingElement>(null);
  const opener = useRef<Element | null>(null);
  useEffect(() => {
    const { activeElement } = document;
    // A page that is opened by its address has the focus nowhere yet, and who types in a field goes on with it.
    if (activeElement === null || activeElement.matches("body, input") || activeElement === heading.current) return;
    opener.current = activeElement;
    heading.current?.focus({ preventScroll: !activeElement.matches(":focus-visible") });
  }, []);
  const closed = () => {
    const back = opener.current?.isConnected === true ? opener.current : document.getElementById("content");
    if (back instanceof HTMLElement) back.focus({ preventScroll: true });
    close();
  };
  const pressed = (event: KeyboardEvent) => {
    const { key, target, currentTarget } = event;
    // Not what comes from a dialog, and nothing that is being written is lost.
    if (key !== "Escape" || event.defaultPrevented || !(target instanceof Element) || !currentTarget.contains(target) || target.matches("input, textarea")) return;
    closed();
  };
  return (
    <section className={className} aria-labelledby={id} onKeyDown={pressed}>
      <div className="page-head">
        <h2 id={id} ref={heading} tabIndex={-1}>
          {title}
        </h2>
        <div className="page-head-actions">
          {actions}
          <Button weight="bare" onPress={closed}>
            {closeText}
          </Button>
        </div>
      </div>
      {children}
    </section>
  );
}
