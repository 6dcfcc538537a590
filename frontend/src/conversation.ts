import type { Answer, Attachment, News, Session, Turn } from "./gateway/types";

/** An answer that is being made, or has just ended and is not among the turns yet. */
export interface Live {
  streamId: string;
  turnId: string;
  prompt: string;
  attachments: Attachment[];
  model: string;
  text: string;
  /** What went wrong on the way, in words. */
  notes: string[];
  /** The number of the last event that was taken. */
  seen: number;
  /** When it was asked, in the page's own milliseconds. */
  since: number;
  /** The turn in whose place it was asked here. */
  replaces?: string;
  ended?: { answer?: Answer; error?: Failure };
}

export interface Failure {
  code: string;
  message: string;
}

/** A prompt of this panel that has not become a turn. */
export interface Sent {
  key: string;
  prompt: string;
  attachments: Attachment[];
  models: string[];
  /** The turn in whose place it was asked, or with which it goes on. */
  replaces?: string;
  continues?: string;
  since: number;
  /** Where its answer is told, from the moment that the gateway has taken it. */
  streamId?: string;
}

/** One that has come to nothing: it is kept until it is asked again or forgotten. */
export interface RefusedPrompt extends Sent {
  failure: Failure;
  /** The session has told that it came to nothing: unless it was asked in a turn's place, it is a turn there. */
  isTold?: boolean;
}

export interface Conversation {
  sessionId: string;
  /** `new` has not been loaded yet; `gone` is not there, or not any more. */
  state: "new" | "here" | "gone" | "deleted";
  session: Session | null;
  /** The newest turns, oldest first. */
  turns: Turn[];
  live: Live | null;
  /** On its way. */
  sent: Sent | null;
  refused: RefusedPrompt[];
}

export function empty(sessionId: string, refused: RefusedPrompt[] = []): Conversation {
  return { sessionId, state: "new", session: null, turns: [], live: null, sent: null, refused };
}

/**
 * The conversation as the gateway has it at this moment; what is on the screen and not there yet stays. `taken` is the
 * key of a prompt that the gateway had taken before it was asked for this: by now it is being answered, or is over.
 */
export function loaded(now: Conversation, session: Session, turns: Turn[], at: number, taken?: string): Conversation {
  const { liveStreamId: streamId, liveTurnId: turnId, livePrompt } = session;
  const isTurn = (key: string) => turns.some((one) => one.turnId === key);
  const sent = now.sent && isTurn(now.sent.key) ? null : now.sent;
  const refused = now.refused.filter((one) => !isTurn(one.key));
  const next: Conversation = { ...now, state: "here", session, turns, sent, refused };
  let live = now.live?.streamId === streamId ? now.live : null; // else it has ended, and is among the turns
  if (!live && streamId && turnId) live = begun(next, streamId, turnId, at);
  const isOver = sent !== null && sent.key === taken && !(live && isOf(sent, live.turnId));
  const settled = isOver ? (sent.continues ? { ...next, sent: null } : failed(next, sent.key, NO_ANSWER)) : next;
  return { ...settled, live: live && { ...live, prompt: live.prompt || (livePrompt ?? "") } };
}

function begun(now: Conversation, streamId: string, turnId: string, at: number): Live {
  const own = now.sent && isOf(now.sent, turnId) ? now.sent : null;
  const of = own ?? now.turns.find((one) => one.turnId === turnId);
  return {
    streamId,
    turnId,
    prompt: of?.prompt ?? "",
    attachments: of?.attachments ?? [],
    model: "",
    text: "",
    notes: [],
    seen: 0,
    since: own?.since ?? at,
    ...(own?.replaces && { replaces: own.replaces }),
  };
}

/** Whether the turn `turnId` is that of this prompt. */
export function isOf(sent: Sent, turnId: string): boolean {
  return sent.key === turnId || sent.continues === turnId;
}

/** Take one event in. What it changes of the turns themselves is to be loaded: see `changes`. */
export function told(now: Conversation, one: News, at: number): Conversation {
  const { streamId, turnId = "" } = one.data as { streamId?: string; turnId?: string };
  switch (one.event) {
    case "turn-started":
      if (!streamId || now.live?.streamId === streamId || isKept(now, streamId)) return now;
      return begin(now, streamId, turnId, at);
    case "turn-ended":
      return one.data["status"] === "failed" ? failed(now, turnId, NO_ANSWER, streamId) : now;
    case "deleted":
      return { ...now, state: "deleted", live: null, sent: null };
    case "error":
      if (streamId === undefined) return { ...now, state: "gone", live: null };
  }
  return streamId === undefined ? now : answered(now, streamId, one, at);
}

/** An answer may be told after its turn is loaded: streams are numbered as their turns are. */
function isKept({ sessionId, turns }: Conversation, streamId: string): boolean {
  return turns.some((one) => streamId === `${sessionId}~${one.n}`);
}

/** A turn has begun: a prompt that nobody seemed to have heard was heard after all. */
function begin(now: Conversation, streamId: string, turnId: string, at: number): Conversation {
  const heard = now.refused.find((one) => one.key === turnId);
  const next = heard ? { ...now, sent: heard, refused: now.refused.filter((one) => one !== heard) } : now;
  return { ...next, state: "here", live: begun(next, streamId, turnId, at) };
}

/** The turn in whose place it was asked is not in the session any more. */
const TURN_GONE = "TURN_NOT_FOUND";
const NO_ANSWER: Failure = { code: "NO_ANSWER", message: "No model has answered." };

/** The own prompt of a turn has come to nothing. */
function failed(now: Conversation, turnId: string, failure: Failure, streamId?: string): Conversation {
  if (!now.sent || !isOf(now.sent, turnId)) return now;
  const refused = { ...now.sent, failure, ...(streamId && { streamId, isTold: true }) };
  return { ...now, live: null, sent: null, refused: [...now.refused, refused] };
}

function answered(now: Conversation, streamId: string, one: News, at: number): Conversation {
  const number = Number(one.id.split("-")[1] ?? 0);
  const turnId = String(one.data["turnId"] ?? "");
  if (now.live?.streamId !== streamId) {
    if (one.event === "error") return explained(now, streamId, failureOf(one));
    if (one.event !== "start" || isKept(now, streamId)) return now;
    now = begin(now, streamId, turnId, at);
  }
  let live = now.live as Live;
  if (one.id && number <= live.seen) return now;
  if (one.event === "start" && !live.prompt) live = { ...begun(now, streamId, turnId, at), notes: live.notes };
  const next = step({ ...live, seen: Math.max(number, live.seen) }, one);
  const isOwn = now.sent !== null && isOf(now.sent, live.turnId);
  if (!isOwn || !next.ended) return { ...now, live: next };
  const { error } = next.ended;
  return error && !next.text ? failed(now, live.turnId, error, streamId) : { ...now, live: next, sent: null };
}

/** Why a prompt has come to nothing may be told after the fact. */
function explained(now: Conversation, streamId: string, failure: Failure): Conversation {
  const refused = now.refused.map((one) => (one.streamId === streamId ? { ...one, failure } : one));
  return { ...now, refused };
}

function failureOf({ data }: News): Failure {
  return { code: String(data["code"] ?? "ERROR"), message: String(data["message"] ?? "It failed.") };
}

function step(live: Live, one: News): Live {
  const { event, data } = one;
  switch (event) {
    case "start":
      return { ...live, model: String(data["model"] ?? ""), turnId: String(data["turnId"] ?? live.turnId) };
    case "content":
      return { ...live, text: live.text + String(data["response"] ?? "") };
    case "restart": {
      const note = `${String(data["from"])} broke off, ${String(data["to"])} begins anew`;
      return { ...live, text: "", model: String(data["to"] ?? ""), notes: [...live.notes, note] };
    }
    case "end": {
      const answer = data["response"] as Answer;
      return { ...live, text: answer.text, model: answer.model, ended: { answer } };
    }
    case "error":
      return { ...live, text: String(data["partial"] ?? live.text), ended: { error: failureOf(one) } };
  }
  return live;
}

/** Whether an event says that the turns are others now, or the description. */
export function changes(one: News): boolean {
  return ["turn-started", "turn-ended", "rewound", "updated", "start"].includes(one.event);
}

/** A prompt is sent off; it may be one that came to nothing before. */
export function asked(now: Conversation, sent: Sent): Conversation {
  return { ...now, sent, refused: now.refused.filter((one) => one.key !== sent.key) };
}

/** The gateway has taken it. */
export function taken(now: Conversation, key: string, streamId: string): Conversation {
  return now.sent?.key === key ? { ...now, sent: { ...now.sent, streamId } } : now;
}

/** It was refused, or nobody was there. */
export function refused(now: Conversation, key: string, failure: Failure): Conversation {
  return now.sent?.key === key ? failed(now, key, failure) : now;
}

export function forgotten(now: Conversation, key: string): Conversation {
  return { ...now, refused: now.refused.filter((one) => one.key !== key) };
}

/** Where a prompt that has come to nothing is to be asked once more: a turn that was kept of it gives its place. */
export function placeOf({ key, replaces, continues, isTold, failure }: RefusedPrompt): string | undefined {
  if (failure.code === TURN_GONE) return undefined;
  return replaces ?? (isTold && !continues ? key : undefined);
}

/** The turns to show: those that a prompt on its way will replace, or goes on with, are shown by that. */
export function visible(now: Conversation): Turn[] {
  const { live, sent } = now;
  const ids = [live?.turnId, live?.replaces, sent?.replaces, sent?.continues].filter((one) => one !== undefined);
  const cut = now.turns.findIndex((one) => ids.includes(one.turnId));
  return cut < 0 ? now.turns : now.turns.slice(0, cut);
}

/** Whether an answer is being made, or a prompt is on its way. */
export function isBusy(now: Conversation): boolean {
  return (now.live !== null && !now.live.ended) || now.sent !== null;
}
