import {
  type Conversation,
  type Failure,
  isOf,
  type Live,
  type RefusedPrompt,
  type Sent,
  visible,
} from "./conversation";
import type { Attachment, Turn } from "./gateway/types";
import { type Part, routeLine } from "./words";

/** A prompt with what has come of it, as it is drawn: kept, being answered, on its way, or come to nothing. */
export interface Item {
  /** The turn's id, from the moment that it is sent. */
  key: string;
  prompt: string;
  attachments: Attachment[];
  source: string;
  /** Who answers, once that is known. */
  model: string;
  text: string;
  /** Whether more of it is to come. */
  growing: boolean;
  /** Of a prompt whose answer has not begun: since when, and whom it was sent to. */
  waiting: { since: number; asked: string[] } | null;
  notes: string[];
  tools: string[];
  failure: Failure | null;
  route: Part[];
  turn: Turn | null;
  refused: RefusedPrompt | null;
}

const SOURCES: Readonly<Record<string, string>> = { cell: "from a cell", python: "from Python", rest: "over REST" };

/** What is to be drawn, from the oldest on. */
export function items(now: Conversation): Item[] {
  const { live, sent } = now;
  const own = live && sent && isOf(sent, live.turnId) ? sent : null;
  const again = new Set(now.refused.map((one) => one.replaces));
  const shown = visible(now)
    .filter((one) => one.status !== "failed" || !again.has(one.turnId))
    .map(ofTurn);
  if (live) shown.push(ofLive(live, own));
  if (sent && !own) shown.push(ofSent(sent));
  return [...shown, ...now.refused.map(ofRefused)];
}

function plain(key: string, prompt: string, attachments: Attachment[]): Item {
  return {
    key,
    prompt,
    attachments,
    source: "",
    model: "",
    text: "",
    growing: false,
    waiting: null,
    notes: [],
    tools: [],
    failure: null,
    route: [],
    turn: null,
    refused: null,
  };
}

function ofTurn(turn: Turn): Item {
  return {
    ...plain(turn.turnId, turn.prompt, turn.attachments),
    source: SOURCES[turn.source.kind] ?? "",
    model: turn.model ?? "no model",
    text: turn.response,
    tools: turn.toolCalls.map((one) => one.name),
    failure: turn.error ?? null,
    route: routeLine(turn),
    turn,
  };
}

function ofLive(live: Live, own: Sent | null): Item {
  const isWaiting = !live.text && !live.ended;
  return {
    ...plain(own?.continues ?? own?.key ?? live.turnId, live.prompt, live.attachments),
    model: live.model,
    text: live.text,
    growing: !live.ended,
    waiting: isWaiting ? { since: live.since, asked: own?.models ?? [] } : null,
    notes: live.notes,
    failure: live.ended?.error ?? null,
    route: live.ended?.answer ? routeLine(live.ended.answer) : [],
  };
}

function ofSent(sent: Sent): Item {
  const item = plain(sent.continues ?? sent.key, sent.prompt, sent.attachments);
  return { ...item, growing: true, waiting: { since: sent.since, asked: sent.models } };
}

function ofRefused(refused: RefusedPrompt): Item {
  return { ...plain(`refused ${refused.key}`, refused.prompt, refused.attachments), failure: refused.failure, refused };
}
