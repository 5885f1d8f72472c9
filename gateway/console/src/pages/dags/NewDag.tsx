import { useNavigate } from "@tanstack/react-router";
import { type SyntheticEvent, useState } from "react";
import { Dialog, DialogTrigger, Heading, Label, Modal, ModalOverlay, RadioButton, RadioField, RadioGroup } from "react-aria-components";
import { Button } from "../../components/Button";
import { Field } from "../../components/Field";
import { useTexts } from "../../i18n/catalogue";
import { TEMPLATES, type Template } from "../editor/templates";
import { dagsTexts } from "./texts";
import "./dags.css";

/** As the gateway has it (`DAG_NAME`). */
const NAME = /^[a-z][a-z0-9]*([-_.][a-z0-9]+)*$/;

/** A name and a template; the editor does the rest. */
export function NewDag({ tenant, taken }: { tenant: string | null; taken: readonly string[] }) {
  const t = useTexts(dagsTexts);
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const [template, setTemplate] = useState<Template>("empty");
  const [fault, setFault] = useState<string>();

  const begin = (event: SyntheticEvent, close: () => void) => {
    event.preventDefault();
    const wanted = name.trim();
    if (!NAME.test(wanted) || wanted.length > 100) {
      setFault(t.notName);
      return;
    }
    if (taken.includes(wanted)) {
      setFault(t.taken);
      return;
    }
    close();
    void navigate({ to: "/dags/$name", params: { name: wanted }, search: { template, ...(tenant === null ? {} : { tenant }) } });
  };

  return (
    <DialogTrigger>
      <Button weight="primary">{t.make}</Button>
      <ModalOverlay className="overlay" isDismissable>
        <Modal>
          <Dialog className="dialog">
            {({ close }) => (
              <form className="part-form" noValidate onSubmit={(event) => begin(event, close)}>
                <Heading slot="title">{t.makeTitle}</Heading>
                <p>{t.makeHelp}</p>
                <Field label={t.name} help={t.nameHelp} value={name} onChange={setName} error={fault} autoFocus isRequired />
                <RadioGroup className="dags-templates" value={template} onChange={(value) => setTemplate(value as Template)}>
                  <Label>{t.template}</Label>
                  {TEMPLATES.map((one) => (
                    <RadioField key={one} value={one}>
                      <RadioButton className="dags-template">
                        <strong>{t[one]}</strong> <span>{t[`${one}Help`]}</span>
                      </RadioButton>
                    </RadioField>
                  ))}
                </RadioGroup>
                <div className="dialog-actions">
                  <Button onPress={close}>{t.leave}</Button>
                  <Button type="submit" weight="primary" isDisabled={name.trim() === ""}>
                    {t.begin}
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
