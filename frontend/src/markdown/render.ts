import type { Links } from "marked";
import { createCleaner } from "./cleaning";
import type { PageWindow } from "./cleaning";
import { cut } from "./parts";
import type { Part } from "./parts";
import type { ReadAttributes } from "./tags";
import { plain, unixLines } from "./text";
import { write } from "./writing";

export { images } from "./images";

/** A part of a text, as Markdown and as safe HTML. */
export interface Piece extends Part {
  readonly html: string;
}

/** Makes safe HTML of a model's Markdown. It never raises: what cannot be read is shown as it came. */
export interface Renderer {
  /** The HTML of a whole text. */
  render(text: string): string;
  /** The pieces of a text whose lines end in line feeds; `links` are the references defined before it. */
  pieces(text: string, links?: Links): Piece[];
}

/** Returns a renderer for the page of `window`. */
export function createRenderer(window: PageWindow): Renderer {
  const clean = createCleaner(window);
  const attributes = attributeReader(window);

  function html(part: Part): string {
    try {
      return clean(write(part.tokens, attributes));
    } catch {
      return plain(part.raw);
    }
  }

  function pieces(text: string, links: Links = {}): Piece[] {
    try {
      return cut(text, links).map((part) => ({ ...part, html: html(part) }));
    } catch {
      return [{ raw: text, tokens: [], html: plain(text) }];
    }
  }

  return {
    pieces,
    render: (text) =>
      pieces(unixLines(text))
        .map((piece) => piece.html)
        .join(""),
  };
}

/** Reads tags in a document of its own, where nothing is loaded or run. */
function attributeReader(window: PageWindow): ReadAttributes {
  return (tag) => {
    const element = new window.DOMParser().parseFromString(tag, "text/html").body.firstElementChild;
    return { get: (name) => element?.getAttribute(name) ?? "" };
  };
}

let pageRenderer: Renderer | undefined;

/** The renderer for this page. */
export function defaultRenderer(): Renderer {
  pageRenderer ??= createRenderer(globalThis.window);
  return pageRenderer;
}

/** Safe HTML of a whole Markdown text, which may be hostile. */
export function render(text: string): string {
  return defaultRenderer().render(text);
}
