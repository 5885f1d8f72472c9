import type { ReactNode } from "react";
import { Dialog, DialogTrigger, Heading, Modal, ModalOverlay } from "react-aria-components";
import { Button } from "./Button";

interface ConfirmProps {
  /** On the button, and on the one that confirms. */
  label: string;
  ask: string;
  /** On the button that leaves everything as it is; it has the focus. */
  leave: string;
  isDisabled?: boolean;
  confirm: () => void;
  children: ReactNode;
}

/** A button for what cannot be taken back: it asks first, and says what will come of it. */
export function Confirm({ label, ask, leave, isDisabled = false, confirm, children }: ConfirmProps) {
  return (
    <DialogTrigger>
      <Button weight="danger" isDisabled={isDisabled}>
        {label}
      </Button>
      <ModalOverlay className="overlay" isDismissable>
        <Modal>
          <Dialog className="dialog" role="alertdialog">
            {({ close }) => (
              <>
                <Heading slot="title">{ask}</Heading>
                {children}
                <div className="dialog-actions">
                  <Button onPress={close} autoFocus>
                    {leave}
                  </Button>
                  <Button
                    weight="danger"
                    onPress={() => {
                      close();
                      confirm();
                    }}
                  >
                    {label}
                  </Button>
                </div>
              </>
            )}
          </Dialog>
        </Modal>
      </ModalOverlay>
    </DialogTrigger>
  );
}
