import { type SyntheticEvent, useState } from "react";
import { Dialog, Modal, ModalOverlay } from "react-aria-components";
import { Problem } from "../api/problem";
import { signIn } from "../api/session";
import { Button } from "../components/Button";
import { Field } from "../components/Field";
import { catalogue, useTexts } from "../i18n/catalogue";
import "./SignIn.css";

const texts = catalogue({
  en: {
    title: "Sign in to taskgate",
    key: "API key",
    help: "It begins with ms_sk_. It is exchanged for a session and kept nowhere in the browser.",
    submit: "Sign in",
    ended: "The session has ended. Sign in again: what you entered is still there.",
    unreachable: "The gateway does not answer. Try again when it is back.",
    tooMany: "Too many failed attempts from this address. Wait a minute.",
  },
  zh: {
    title: "登录 taskgate",
    key: "API 密钥",
    help: "以 ms_sk_ 开头。密钥只用于换取会话，不会保存在浏览器中。",
    submit: "登录",
    ended: "会话已结束。请重新登录：您输入的内容仍然保留。",
    unreachable: "网关没有响应。请在网关恢复后重试。",
    tooMany: "此地址失败次数过多，请等待一分钟。",
  },
});

/** `ended`: there was a session; what is open stays beneath. */
export function SignIn({ ended }: { ended: boolean }) {
  const t = useTexts(texts);
  const [key, setKey] = useState("");
  const [error, setError] = useState<string>();
  const [isSending, setSending] = useState(false);

  const send = async (event: SyntheticEvent) => {
    event.preventDefault();
    setSending(true);
    setError(undefined);
    try {
      await signIn(key.trim());
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      setError(problem.status === 0 ? t.unreachable : problem.status === 429 ? t.tooMany : problem.detail);
      setSending(false);
    }
  };

  const form = (
    <form className="sign-in-form" onSubmit={(event) => void send(event)}>
      <h1 id="sign-in-title">{t.title}</h1>
      {ended && <p role="alert">{t.ended}</p>}
      <Field
        label={t.key}
        help={t.help}
        type="password"
        autoComplete="off"
        autoFocus
        isRequired
        value={key}
        onChange={setKey}
        error={error}
      />
      <Button type="submit" weight="primary" isDisabled={isSending || key.trim() === ""}>
        {t.submit}
      </Button>
    </form>
  );
  if (!ended) {
    return (
      <div className="sign-in" role="main" aria-labelledby="sign-in-title">
        {form}
      </div>
    );
  }
  // A dialog that is open beneath lets nothing be reached that is none itself.
  return (
    <ModalOverlay className="sign-in sign-in-over" isOpen isKeyboardDismissDisabled>
      <Modal>
        <Dialog aria-labelledby="sign-in-title">{form}</Dialog>
      </Modal>
    </ModalOverlay>
  );
}
