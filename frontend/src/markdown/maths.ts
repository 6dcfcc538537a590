import temml from "temml/temml.js";
import { escape } from "./text";

/** A formula found in a text: `raw` with its marks, `tex` without. */
export interface Formula {
  readonly raw: string;
  readonly tex: string;
  readonly display: boolean;
}

const LONGEST = 4000;

const MOST_LINES_BEFORE = 30;

// A blank line, or one that begins display maths.
const LINE_START = /[ \t]*(?:\n|$)| {0,3}(\$\$|\\\[)/y;

// A macro can double what it is given, and so can the next.
const DEFINING =
  /\\(?:[gex]?def|global|long|let|futurelet|(?:re)?newcommand|providecommand|expandafter|csname)(?![a-z])/i;

const CLOSING: Readonly<Record<string, string>> = { $: "$", $$: "$$", "\\(": "\\)", "\\[": "\\]" };

/** The formula as MathML, or as it was written if it is none that can be shown. */
export function mathml({ raw, tex, display }: Formula): string {
  const kind = display ? "warp-display" : "warp-inline";
  return `<span class="${kind}">${convert(tex, display) ?? escape(raw)}</span>`;
}

function convert(tex: string, display: boolean): string | undefined {
  if (tex.length > LONGEST || DEFINING.test(tex)) return undefined;
  try {
    return temml.renderToString(tex, {
      displayMode: display,
      throwOnError: true,
      trust: false,
      maxSize: [10, 100],
      maxExpand: 200,
      macros: {},
    });
  } catch {
    return undefined;
  }
}

/** The formula that begins where `src` does; `before` is the character before it. */
export function formulaAt(src: string, before: string): Formula | undefined {
  const open = /^(?:\$\$?|\\[([])/.exec(src)?.[0];
  if (open === undefined) return undefined;
  const end = closing(src, open);
  if (end < 0) return undefined;
  const raw = src.slice(0, end + open.length);
  const tex = src.slice(open.length, end);
  const display = open === "$$" || open === "\\[";
  if (!tex.trim() || /\n[ \t]*\n/.test(tex)) return undefined;
  return means(open, tex, before, src.slice(raw.length, raw.length + 2)) ? { raw, tex, display } : undefined;
}

function closing(src: string, open: string): number {
  const close = CLOSING[open] ?? open;
  const limit = Math.min(src.length, open.length + LONGEST);
  for (let at = open.length; at < limit; at++) {
    if (src.startsWith(close, at)) return at;
    if (src[at] === "\\") at++;
  }
  return -1;
}

/** Whether the marks around `tex` mean a formula, and are no prices, variables or escaped brackets. */
function means(open: string, tex: string, before: string, after: string): boolean {
  if (open === "\\[") return !/^[\d\s,]*$/.test(tex) && !/^[([]/.test(after);
  if (open !== "$") return true;
  if (/[\w$]/.test(before) || /^[A-Z\d_{$]/.test(after)) return false;
  if (/\s[A-Z]{1,3}$/.test(tex) && /^ \d/.test(after)) return false;
  return !/^\s|\s$|^\d[\d.,]*\s+[a-z]{2}/i.test(tex);
}

/**
 * `masked` with the formulas of `run` blanked, for no mark in them is Markdown's. It is as long as `run`, and has
 * other characters already where code, links and escapes are.
 */
export function maskFormulas(run: string, masked: string): string {
  let result = "";
  let end = 0;
  for (const { index } of run.matchAll(/\$|\\[([]/g)) {
    if (index < end || !"$+".includes(masked[index] ?? "")) continue;
    const formula = formulaAt(run.slice(index), run.charAt(index - 1));
    if (formula === undefined) continue;
    result += masked.slice(end, index) + "a".repeat(formula.raw.length);
    end = index + formula.raw.length;
  }
  return result + masked.slice(end);
}

/** A paragraph that begins with a mark of display maths: the formula if it is one, or undefined; and what it spans. */
export function displayAt(src: string): { raw: string; formula: Formula | undefined } | undefined {
  const indent = /^ {0,3}(?=\$\$|\\\[)/.exec(src)?.[0];
  if (indent === undefined) return undefined;
  const formula = formulaAt(src.slice(indent.length), "");
  if (formula === undefined) return { raw: src.slice(0, paragraphEnd(src)), formula };
  const raw = indent + formula.raw;
  const rest = /^[ \t]*(?=\n|$)/.exec(src.slice(raw.length));
  return rest ? { raw: raw + rest[0], formula } : undefined;
}

/** Where in `src` a line begins display maths, within the paragraph at its start and its first lines; -1 if none. */
export function displayStart(src: string): number {
  let line = 0;
  for (let lines = 0; lines < MOST_LINES_BEFORE; lines++) {
    line = src.indexOf("\n", line) + 1;
    if (line === 0) return -1;
    LINE_START.lastIndex = line;
    const start = LINE_START.exec(src);
    if (start !== null && start[1] === undefined) return -1;
    if (start !== null && displayAt(src.slice(line)) !== undefined) return line;
  }
  return -1;
}

function paragraphEnd(src: string): number {
  const end = src.search(/\n[ \t]*(?:\n|$)/);
  return end < 0 ? src.length : end;
}
