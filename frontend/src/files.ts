import type { Comm } from "./gateway/comm";
import { type Attachment, Refused } from "./gateway/types";

const IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
const MOST_BYTES = 20_000_000;
const MOST_TEXT = 1_000_000;

/** A file as an attachment: images and texts are read here, others by the kernel. Raises an Error that says why not. */
export async function attachmentOf(file: File, kernel: Comm): Promise<Attachment> {
  const name = file.name || "pasted image";
  if (file.size > MOST_BYTES) throw new Error(`${name} is larger than 20 MB.`);
  if (!file.size) throw new Error(`${name} is empty.`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (IMAGES.includes(file.type)) return { kind: "image", name, mediaType: file.type, data: base64(bytes) };
  const text = textOf(bytes);
  if (text !== null) {
    if (text.length > MOST_TEXT) throw new Error(`${name} has more than a million characters.`);
    return { kind: "text", name, mediaType: "text/plain", text };
  }
  try {
    return (await kernel.call("file", { name, data: base64(bytes) })).attachment;
  } catch (error) {
    if (error instanceof Refused) throw error;
    throw new Error(
      `${name} is neither text nor an image, and the kernel, which may know how to read it, does not answer.`,
    );
  }
}

function textOf(bytes: Uint8Array): string | null {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return text.includes("\0") ? null : text;
  } catch {
    return null;
  }
}

function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}
