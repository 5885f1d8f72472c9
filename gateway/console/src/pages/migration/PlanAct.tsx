import { useState } from "react";
import { Dialog, DialogTrigger, Heading, Modal, ModalOverlay } from "react-aria-components";
import { Button } from "../../components/Button";
import { Field } from "../../components/Field";
import { useTexts } from "../../i18n/catalogue";
import { planTexts } from "./planTexts";

export type PlanActName = "start" | "pause" | "resume" | "approve" | "abort";

/** A button that asks why before it does something to a plan. */
export function PlanAct({ plan, name, send }: { plan: string; name: PlanActName; send: (why: string) => void }) {
  const t = useTexts(planTexts);
  const [why, setWhy] = useState("");
  return (
    <DialogTrigger onOpenChange={() => setWhy("")}>
      <Button weight={name === "abort" ? "danger" : "plain"}>{t[`do_${name}`]}</Button>
      <ModalOverlay className="overlay" isDismissable>
        <Modal>
          <Dialog className="dialog">
            {({ close }) => (
              <form
                className="part-form"
                noValidate
                onSubmit={(event) => {
                  event.preventDefault();
                  if (why.trim() === "") return;
                  close();
                  send(why.trim());
                }}
              >
                <Heading slot="title">
                  {t[`do_${name}`]}: {plan}
                </Heading>
                <p>{t[`help_${name}`]}</p>
                <Field label={t.why} value={why} onChange={setWhy} maxLength={1000} isRequired autoFocus />
                <div className="dialog-actions">
                  <Button onPress={close}>{t.leave}</Button>
                  <Button type="submit" weight={name === "abort" ? "danger" : "primary"} isDisabled={why.trim() === ""}>
                    {t[`do_${name}`]}
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
