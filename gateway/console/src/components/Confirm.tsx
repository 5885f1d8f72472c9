import { type ReactNode, type SyntheticEvent, useEffect, useState } from "react";
import { Dialog, DialogTrigger, Heading, Modal, ModalOverlay } from "react-aria-components";
import { Button, type Weight } from "./Button";
import { Failure } from "./Failure";
import { Field } from "./Field";

interface ConfirmProps {
  /** On the button, and on the one that confirms, if that says nothing else. */
  label: string;
  sure?: string;
  /** What the button is about, for whoever does not see where it stands. */
  about?: string;
  ask: string;
  /** On the button that leaves everything as it is. */
  leave: string;
  weight?: Weight;
  isDisabled?: boolean;
  /** Whether what is to be entered is; `why` aside. */
  isReady?: boolean;
  /** The label of a field that asks why; left out: nothing asks. */
  why?: string;
  isWhyRequired?: boolean;
  /** Nothing is to be entered but why: that field, or the button that leaves everything, has the focus. */
  hasFields?: boolean;
  opened?: () => void;
  /** A promise keeps the dialog open until it is fulfilled, and what it is refused with is shown; `false` keeps it open for good. */
  confirm: (why: string) => unknown;
  children?: ReactNode;
}

/** A button that asks first, and says what will come of it. */
export function Confirm({ label, about, weight = "danger", isDisabled = false, ...ask }: ConfirmProps) {
  const isQuestion = ask.why === undefined && ask.hasFields !== true;
  return (
    <DialogTrigger>
      <Button weight={weight} isDisabled={isDisabled} {...(about === undefined ? {} : { "aria-label": `${label}: ${about}` })}>
        {label}
      </Button>
      <ModalOverlay className="overlay" isDismissable>
        <Modal>
          <Dialog className="dialog" role={isQuestion ? "alertdialog" : "dialog"}>
            {({ close }) => <Ask {...ask} label={label} weight={weight === "danger" ? "danger" : "primary"} isQuestion={isQuestion} close={close} />}
          </Dialog>
        </Modal>
      </ModalOverlay>
    </DialogTrigger>
  );
}

interface AskProps extends Omit<ConfirmProps, "about" | "isDisabled" | "weight"> {
  weight: Weight;
  isQuestion: boolean;
  close: () => void;
}

function Ask({ label, sure = label, ask, leave, weight, isReady = true, why, isWhyRequired = false, hasFields = false, opened, confirm, children, isQuestion, close }: AskProps) {
  const [reason, setReason] = useState("");
  const [error, setError] = useState<unknown>(null);
  const [isSending, setSending] = useState(false);
  const isPossible = isReady && !isSending && !(isWhyRequired && reason.trim() === "");
  useEffect(() => {
    opened?.();
    // Once, when it opens.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, []);
  const submit = async (event: SyntheticEvent) => {
    event.preventDefault();
    if (!isPossible) return;
    setError(null);
    setSending(true);
    try {
      if ((await confirm(reason.trim())) !== false) close();
    } catch (problem) {
      setError(problem);
    } finally {
      setSending(false);
    }
  };
  return (
    <form className="part-form" noValidate onSubmit={(event) => void submit(event)}>
      <Heading slot="title">{ask}</Heading>
      {children}
      {why !== undefined && <Field label={why} value={reason} onChange={setReason} maxLength={1000} isRequired={isWhyRequired} autoFocus={!hasFields} />}
      {error !== null && <Failure error={error} />}
      <div className="dialog-actions">
        <Button onPress={close} autoFocus={isQuestion}>
          {leave}
        </Button>
        <Button type="submit" weight={weight} isDisabled={!isPossible}>
          {sure}
        </Button>
      </div>
    </form>
  );
}
