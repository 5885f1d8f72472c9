import { useState } from "react";
import { Button } from "../../components/Button";
import { Failure } from "../../components/Failure";
import { useNow } from "../../components/now";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { type Stage, canInsist } from "./stages";
import { migrationTexts } from "./texts";

const SECONDS = 60;

/** A move that was made, and until when it can be undone. */
export interface Move {
  tenantId: string;
  /** The stage of its own that it had; null: none. */
  before: Stage | null;
  to: Stage;
  why: string;
  at: Date;
  notes: readonly string[];
}

export function Undo({ move, undo }: { move: Move; undo: (force: boolean) => Promise<void> }) {
  const t = useTexts(migrationTexts);
  const format = useFormat();
  const left = Math.ceil(SECONDS - (useNow().getTime() - move.at.getTime()) / 1000);
  const [state, setState] = useState<"made" | "undoing" | "undone">("made");
  const [error, setError] = useState<unknown>(null);
  const run = (force: boolean) => {
    setState("undoing");
    setError(null);
    undo(force).then(
      () => setState("undone"),
      (problem: unknown) => {
        setError(problem);
        setState("made");
      },
    );
  };
  return (
    <div className="undo">
      <p role="status">{state === "undone" ? t.undone(move.tenantId) : t.moved(move.tenantId, move.to)}</p>
      {state !== "undone" && left > 0 && (
        <Button onPress={() => run(false)} isDisabled={state === "undoing"}>
          {t.undo(format.number(Math.min(SECONDS, left)))}
        </Button>
      )}
      {state !== "undone" && move.notes.map((note) => <p key={note}>{note}</p>)}
      {error !== null && <Failure error={error} />}
      {canInsist(error) && left > 0 && (
        <Button weight="danger" onPress={() => run(true)}>
          {t.insist}
        </Button>
      )}
    </div>
  );
}
