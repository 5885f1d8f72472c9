import type { ReactNode } from "react";
import { Button } from "./Button";
import { Empty } from "./Empty";
import { Failure } from "./Failure";
import { Table } from "./Table";

/** What is used of TanStack's infinite query. */
interface Pages {
  data: unknown;
  isError: boolean;
  error: unknown;
  hasNextPage: boolean;
  isFetching: boolean;
  refetch: () => unknown;
  fetchNextPage: () => unknown;
}

interface PagedTableProps {
  pages: Pages;
  columns: readonly string[];
  /** Shown instead of a table without rows. */
  none: string;
  noneHelp: string;
  /** On the button that reads the next page. */
  more: string;
  /** Its name, where there is more than one table. */
  label?: string;
  /** Rows. */
  children: readonly ReactNode[];
}

/** A table that is read page by page. */
export function PagedTable({ pages, columns, none, noneHelp, more, label, children }: PagedTableProps) {
  return (
    <>
      {pages.isError && <Failure error={pages.error} retry={() => void pages.refetch()} />}
      {pages.data !== undefined && children.length === 0 && (
        <Empty title={none}>
          <p>{noneHelp}</p>
        </Empty>
      )}
      {children.length > 0 && (
        <Table columns={columns} label={label}>
          {children}
        </Table>
      )}
      {pages.hasNextPage && (
        <Button onPress={() => void pages.fetchNextPage()} isDisabled={pages.isFetching}>
          {more}
        </Button>
      )}
    </>
  );
}
