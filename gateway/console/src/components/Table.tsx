import type { ReactNode } from "react";
import "./Table.css";

interface TableProps {
  columns: readonly string[];
  /** Its name, where there is more than one table. */
  label?: string | undefined;
  labelledBy?: string;
  /** A class of its own, beside that of every table. */
  look?: string;
  /** How many rows it has with its head, where not all of them are in the document. */
  rowCount?: number | undefined;
  /** Rows. */
  children: ReactNode;
}

/** A table: the names of its columns, and rows. */
export function Table({ columns, label, labelledBy, look, rowCount, children }: TableProps) {
  return (
    <table className={look === undefined ? "table" : `table ${look}`} aria-label={label} aria-labelledby={labelledBy} aria-rowcount={rowCount}>
      <thead>
        <tr>
          {columns.map((name) => (
            <th key={name} scope="col">
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>{children}</tbody>
    </table>
  );
}
