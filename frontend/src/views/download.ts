import type { Verbs } from "../gateway/types";

/** Hand a file to the browser, which keeps it as it keeps downloads. */
export function download({ name, mediaType, text }: Verbs["export"][1]): void {
  const url = URL.createObjectURL(new Blob([text], { type: mediaType }));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
