import type { Links, Token } from "marked";
import { read } from "./reading";

/** A stretch of a text that is shown on its own. */
export interface Part {
  readonly raw: string;
  readonly tokens: readonly Token[];
}

const SHORTEST = 200;

/**
 * The parts of `text`, which together are all of it. A part ends at a blank line after a block, once it is not too
 * short to be worth it and no `<details>` is open. Raises what Marked raises.
 */
export function cut(text: string, links: Links): Part[] {
  const parts: Part[] = [];
  let raw = "";
  let tokens: Token[] = [];
  let open = 0;
  const end = (): void => {
    if (raw) parts.push({ raw, tokens });
    raw = "";
    tokens = [];
  };
  for (const token of read(text, links)) {
    raw += token.raw;
    tokens.push(token);
    open = Math.max(0, open + opened(token));
    if (token.type === "space" && raw.length >= SHORTEST && open === 0) end();
  }
  end();
  return parts;
}

function opened(token: Token): number {
  if (token.type !== "html") return 0;
  const count = (pattern: RegExp): number => token.raw.match(pattern)?.length ?? 0;
  return count(/<details\b/gi) - count(/<\/details\b/gi);
}

/** The references that `parts` define: as in Markdown, the first of a name is the one that holds. */
export function definitions(parts: readonly Part[], known: Links): Links {
  const links: Links = Object.assign(Object.create(null), known);
  for (const token of parts.flatMap((part) => part.tokens)) {
    if (token.type === "def" && !(token.tag in links)) links[token.tag] = { href: token.href, title: token.title };
  }
  return links;
}
