import { type SyntheticEvent, useState } from "react";
import { Dialog, DialogTrigger, Heading, Modal, ModalOverlay } from "react-aria-components";
import { Problem } from "../../api/problem";
import { Button } from "../../components/Button";
import { Failure } from "../../components/Failure";
import { Field } from "../../components/Field";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { LazyComparison } from "./LazyComparison";
import { type Place, type Saved, readVersion, save } from "./saved";
import { editorTexts } from "./texts";

interface SaveDialogProps {
  place: Place;
  text: string;
  /** The version that the text was made from. */
  base: number;
  anyTypes: boolean;
  isDisabled: boolean;
  saved: (version: number, isNew: boolean, text: string) => void;
}

/** A new version. If somebody else has made one meanwhile, that is told and shown, and nothing is overwritten unasked. */
export function SaveDialog({ place, text, base, anyTypes, isDisabled, saved }: SaveDialogProps) {
  const t = useTexts(editorTexts);
  const format = useFormat();
  const [label, setLabel] = useState("");
  const [error, setError] = useState<unknown>(null);
  const [theirs, setTheirs] = useState<Saved | null>(null);
  const [isSending, setSending] = useState(false);

  const send = async (event: SyntheticEvent, close: () => void) => {
    event.preventDefault();
    setSending(true);
    setError(null);
    try {
      const made = await save(place, text, theirs?.version ?? base, label.trim(), anyTypes);
      setTheirs(null);
      setLabel("");
      close();
      saved(made.version, made.isNew, text);
    } catch (problem) {
      setError(problem);
      if (problem instanceof Problem && problem.code === "dag_changed") {
        setTheirs(await readVersion(place, null).catch(() => null));
      }
    } finally {
      setSending(false);
    }
  };

  return (
    <DialogTrigger
      onOpenChange={() => {
        setError(null);
        setTheirs(null);
      }}
    >
      <Button weight="primary" isDisabled={isDisabled}>
        {t.save}
      </Button>
      <ModalOverlay className="overlay" isDismissable>
        <Modal>
          <Dialog className={theirs === null ? "dialog" : "dialog editor-dialog-wide"}>
            {({ close }) => (
              <form className="part-form" noValidate onSubmit={(event) => void send(event, close)}>
                <Heading slot="title">{t.saveTitle}</Heading>
                <p>{base === 0 ? t.saveFirst : t.saveHelp(format.number(base))}</p>
                <Field label={t.versionLabel} value={label} onChange={setLabel} autoFocus maxLength={100} />
                {error !== null && theirs === null && <Failure error={error} />}
                {theirs !== null && (
                  <div className="editor-conflict" role="alert">
                    <h3>{t.conflict(format.number(theirs.version))}</h3>
                    <p>{t.conflictHelp}</p>
                  </div>
                )}
                {theirs !== null && <LazyComparison before={{ name: t.versionOf(format.number(theirs.version)), text: theirs.text }} after={{ name: t.yourText, text }} />}
                <div className="dialog-actions">
                  <Button onPress={close}>{t.leave}</Button>
                  <Button type="submit" weight={theirs === null ? "primary" : "danger"} isDisabled={isSending}>
                    {theirs === null ? t.save : t.saveOver(format.number(theirs.version))}
                  </Button>
                </div>
              </form>
            )}
          </Dialog>
        </Modal>
      </ModalOverlay>
    </DialogTrigger>
  );
}
