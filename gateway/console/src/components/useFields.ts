import { useState } from "react";

/** What is entered in the fields of a search. Whenever the address says something else (`kept`), they begin anew with that. */
export function useFields<T>(kept: T): [T, (fields: T) => void] {
  const says = JSON.stringify(kept);
  const [entered, setEntered] = useState({ says, fields: kept });
  if (entered.says !== says) setEntered({ says, fields: kept });
  return [entered.says === says ? entered.fields : kept, (fields) => setEntered({ says, fields })];
}
