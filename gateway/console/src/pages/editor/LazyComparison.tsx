import { useQuery } from "@tanstack/react-query";
import type { ComponentProps } from "react";
import { unreachable } from "../../api/problem";
import { Failure } from "../../components/Failure";
import { useTexts } from "../../i18n/catalogue";
import type { Comparison } from "./Comparison";
import { editorTexts } from "./texts";

/** A comparison, whose code is loaded when the first one is shown. */
export function LazyComparison(props: ComponentProps<typeof Comparison>) {
  const t = useTexts(editorTexts);
  const loaded = useQuery({ queryKey: ["comparison"], queryFn: () => import("./Comparison") });
  if (loaded.isError) return <Failure error={unreachable()} retry={() => void loaded.refetch()} />;
  if (loaded.data === undefined) return <p role="status">{t.loading}</p>;
  return <loaded.data.Comparison {...props} />;
}
