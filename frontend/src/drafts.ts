import type { Attachment } from "./gateway/types";

/** What was typed and is not known to have been heard. `key` is the turn's id once it was sent. */
export interface Draft {
  text: string;
  attachments: Attachment[];
  key?: string;
}

const LARGE = 1_000_000;
/** What the page itself remembers: all of it, also where the browser keeps nothing. */
const here = new Map<string, unknown>();

/** Servers of one origin, as those of a Hub's users, have sessions of equal ids. */
function placeOf(name: string): string {
  return `warp-panel ${location.pathname.replace(/\/(lab|notebooks|tree)\b.*/, "")} ${name}`;
}

/** Keep a value across reloads, as far as the browser has room for it; null forgets it. */
export function keep(name: string, value: unknown): void {
  const place = placeOf(name);
  if (value === null) here.delete(place);
  else here.set(place, value);
  try {
    if (value === null) localStorage.removeItem(place);
    else localStorage.setItem(place, JSON.stringify(value, smaller));
  } catch {
    // A sandbox without storage, or a full one: it lives as long as the page.
  }
}

/** What was kept under `name`, or null. */
export function kept(name: string): unknown {
  const place = placeOf(name);
  if (here.has(place)) return here.get(place);
  try {
    return JSON.parse(localStorage.getItem(place) ?? "null");
  } catch {
    return null;
  }
}

/** Attachments that are too large to be written at each key go along until the page is left. */
function smaller(name: string, value: unknown): unknown {
  if (name !== "attachments" || !Array.isArray(value)) return value;
  return (value as Attachment[]).filter((one) => (one.data ?? one.text ?? "").length < LARGE);
}

export function keepDraft(sessionId: string, draft: Draft | null): void {
  const isEmpty = !draft || (!draft.text.trim() && !draft.attachments.length);
  keep(`draft ${sessionId}`, isEmpty ? null : draft);
}

export function keptDraft(sessionId: string): Draft {
  const found = kept(`draft ${sessionId}`) as Draft | null;
  const isOne = typeof found?.text === "string" && Array.isArray(found.attachments);
  return isOne ? found : { text: "", attachments: [] };
}

/** The draft that was sent as the turn `key` was heard, or is kept elsewhere; what was typed since then stays. */
export function dropDraft(sessionId: string, key: string): void {
  if (keptDraft(sessionId).key === key) keepDraft(sessionId, null);
}
