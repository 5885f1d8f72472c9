import { useState } from "react";
import { catalogue, useTexts } from "../i18n/catalogue";
import { Button } from "./Button";
import "./Part.css";

const texts = catalogue({
  en: { help: "Keep it now: it is shown this once.", copy: "Copy", copied: "Copied", done: "I have kept it" },
  zh: { help: "请立即保存：它只显示这一次。", copy: "复制", copied: "已复制", done: "我已保存" },
});

/** A secret that nobody can look up later. */
export function ShownOnce({ title, secret, close }: { title: string; secret: string; close: () => void }) {
  const t = useTexts(texts);
  const [isCopied, setCopied] = useState(false);
  return (
    <section className="part part-notice" aria-labelledby="shown-once" role="status">
      <h2 id="shown-once">{title}</h2>
      <p>{t.help}</p>
      <code className="part-text">{secret}</code>
      <div className="part-line">
        <Button onPress={() => void navigator.clipboard.writeText(secret).then(() => setCopied(true))}>{isCopied ? t.copied : t.copy}</Button>
        <Button weight="primary" onPress={close}>
          {t.done}
        </Button>
      </div>
    </section>
  );
}
