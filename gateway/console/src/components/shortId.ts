/** An id as far as it tells one from another: ids begin with their time, so those of one minute begin alike. */
export function shortId(id: string): string {
  const kind = id.startsWith("payload:") ? "payload:" : "";
  return id.length - kind.length <= 8 ? id : `${kind}…${id.slice(-8)}`;
}
