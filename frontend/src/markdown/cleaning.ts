import createPurifier from "dompurify";
import type { Config, UponSanitizeAttributeHookEvent } from "dompurify";
import { linkAddress, pictureAddress } from "./addresses";

/** The window of a page. */
export type PageWindow = Window & typeof globalThis;

const HTML_TAGS =
  "a b strong i em u s del ins sub sup kbd mark code samp var small q cite br hr p pre span blockquote " +
  "ul ol li dl dt dd table thead tbody tfoot tr th td caption details summary h1 h2 h3 h4 h5 h6";

const MATHS_TAGS =
  "math menclose merror mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow mspace msqrt " +
  "mstyle msub msubsup msup mtable mtd mtext mtr munder munderover none";

const HTML_ATTRIBUTES = "href title class data-source align start colspan rowspan";

const MATHS_ATTRIBUTES =
  "accent columnalign columnlines columnspacing columnspan depth display displaystyle fence form height largeop " +
  "linethickness lspace mathbackground mathcolor mathsize mathvariant maxsize minsize movablelimits notation " +
  "rowlines rowspacing rspace scriptlevel separator stretchy style symmetric voffset width";

const CONFIG = {
  ALLOWED_TAGS: `${HTML_TAGS} ${MATHS_TAGS} #text`.split(" "),
  ALLOWED_ATTR: `${HTML_ATTRIBUTES} ${MATHS_ATTRIBUTES}`.split(" "),
  ALLOWED_NAMESPACES: ["http://www.w3.org/1999/xhtml", "http://www.w3.org/1998/Math/MathML"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  ADD_URI_SAFE_ATTR: `${HTML_ATTRIBUTES} ${MATHS_ATTRIBUTES}`.split(" ").filter((name) => name !== "href"),
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM: true,
} as const;

// Ours, the highlighter's with its second-rank names such as `function_`, and Temml's.
const CLASS = /^(?:warp-[a-z]+|language-[\w+#.-]+|hljs(?:-[\w-]+)?|[a-z]+_{1,2}|(?:tml|wbk|chr)-[\w-]+)$/;

// What Temml lays out tables and colours with; nothing that could move a formula over the rest of the page.
const STYLE = /^(?:padding|border|text-align|font-weight|math-depth|color|width)(?:-[a-z]+)?:[\w\s#%.]+$/;

const LENGTHS = new Set("depth height lspace mathsize maxsize minsize rspace voffset width".split(" "));

/** Returns what makes HTML safe for the page of `window`; that raises an error where it cannot. */
export function createCleaner(window: PageWindow): (html: string) => string {
  const purifier = createPurifier(window);
  purifier.addHook("uponSanitizeAttribute", restrict);
  return (html) => {
    if (!purifier.isSupported) throw new Error("this browser cannot clean HTML");
    const body = purifier.sanitize(html, CONFIG as unknown as Config & { RETURN_DOM: true });
    body.querySelectorAll("a").forEach(settleLink);
    body.querySelectorAll("span.warp-image").forEach(settlePicture);
    return body.innerHTML;
  };
}

function restrict(element: Element, attribute: UponSanitizeAttributeHookEvent): void {
  const { attrName, attrValue } = attribute;
  if (attrName === "class") attribute.attrValue = pick(attrValue, /\s+/, CLASS, " ");
  if (attrName === "style") attribute.attrValue = isMaths(element) ? pick(attrValue, /;\s*/, STYLE, ";") : "";
  if (LENGTHS.has(attrName) && isFar(attrValue)) attribute.keepAttr = false;
  if ((attrName === "class" || attrName === "style") && attribute.attrValue === "") attribute.keepAttr = false;
}

/** Whether a length is more than a formula needs, and could put it elsewhere in the page. */
function isFar(length: string): boolean {
  return Math.abs(Number.parseFloat(length)) > (/e[mx]$/.test(length) ? 10 : 100);
}

function pick(value: string, separator: RegExp, allowed: RegExp, joint: string): string {
  return value
    .split(separator)
    .filter((one) => allowed.test(one))
    .join(joint);
}

function isMaths(element: Element): boolean {
  return element.namespaceURI === "http://www.w3.org/1998/Math/MathML";
}

function settleLink(link: HTMLAnchorElement): void {
  const address = linkAddress(link.getAttribute("href") ?? "");
  if (address === undefined) {
    link.replaceWith(...link.childNodes);
    return;
  }
  link.setAttribute("href", address);
  link.setAttribute("target", "_blank");
  link.setAttribute("rel", "noopener noreferrer");
}

function settlePicture(place: Element): void {
  const address = pictureAddress(place.getAttribute("data-source") ?? "");
  if (address === undefined) place.replaceWith(...place.childNodes);
  else place.setAttribute("data-source", address);
}
