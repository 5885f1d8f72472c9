import type { ReactNode } from "react";
import "./Table.css";

interface TableProps {
  columns: readonly string[];
  /** Its name, where there is more than one table. */
  label?: string | undefined;
  labelledBy?: string;
  /** Rows. */
  children: ReactNode;
}

/** A table: the names of its columns, and rows. */
export function Table({ columns, label, labelledBy, children }: TableProps) {
  return (
    <table className="table" aria-label={label} aria-labelledby={labelledBy}>
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
