import type { ReactNode } from "react";
import "./PageHead.css";

/** The title of a page, with what may be done on it. */
export function PageHead({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <header className="page-head">
      <h1>{title}</h1>
      {children !== undefined && <div className="page-head-actions">{children}</div>}
    </header>
  );
}
