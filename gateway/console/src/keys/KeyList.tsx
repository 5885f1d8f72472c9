import { Dialog, Heading, Modal, ModalOverlay } from "react-aria-components";
import { createStore, useStore } from "../components/store";
import { catalogue, useTexts } from "../i18n/catalogue";
import { shortcuts, useShortcuts } from "./shortcuts";
import "./keys.css";

const texts = catalogue({
  en: { title: "Keys", palette: "Go to or do anything", list: "This list", close: "Escape closes it." },
  zh: { title: "快捷键", palette: "跳转或执行任何命令", list: "本列表", close: "按 Esc 关闭。" },
});

const isOpen = createStore(false);

export function openKeyList(): void {
  isOpen.set(true);
}

/** `?`: the keys of what is on the screen. */
export function KeyList() {
  const t = useTexts(texts);
  const open = useStore(isOpen);
  useShortcuts([{ keys: "?", label: t.list, run: openKeyList }]);
  const all = [{ keys: "Ctrl K", label: t.palette }, ...[...useStore(shortcuts).values()].flat()];
  return (
    <ModalOverlay className="overlay" isDismissable isOpen={open} onOpenChange={(next) => isOpen.set(next)}>
      <Modal>
        <Dialog className="dialog">
          <Heading slot="title">{t.title}</Heading>
          <dl className="key-list">
            {all.map((one) => (
              <div key={one.keys}>
                <dt>
                  {one.keys.split(" ").map((key) => (
                    <kbd key={key}>{key}</kbd>
                  ))}
                </dt>
                <dd>{one.label}</dd>
              </div>
            ))}
          </dl>
          <p className="key-list-foot">{t.close}</p>
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}
