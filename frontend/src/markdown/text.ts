const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

const entity = (character: string): string => ENTITIES[character] ?? "";

/** HTML that shows `text` to the letter, in an element or in a quoted attribute. */
export function escape(text: string): string {
  return text.replace(/[&<>"']/g, entity);
}

/** The same, but what is written as a character reference stays one, as Markdown has it. */
export function escapeProse(text: string): string {
  return text.replace(/[<>"']|&(?!(?:#\d{1,7}|#x[\da-f]{1,6}|[a-z][a-z\d]{1,31});)/gi, entity);
}

/** HTML that shows `text` as it came: the last resort for what cannot be read as Markdown. */
export function plain(text: string): string {
  return `<pre class="warp-plain">${escape(text)}</pre>\n`;
}

/** `text` with each line ended by a line feed alone. */
export function unixLines(text: string): string {
  return text.replace(/\r\n?/g, "\n");
}
