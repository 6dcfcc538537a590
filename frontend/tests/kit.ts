import type { News, Session, Turn } from "../src/gateway/types";

const NOTHING = { inputTokens: 0, outputTokens: 0, cachedTokens: 0, reasoningTokens: 0 };

export function turn(turnId: string, more: Partial<Turn> = {}): Turn {
  return {
    turnId,
    n: 1,
    prompt: `asked ${turnId}`,
    attachments: [],
    response: `said ${turnId}`,
    toolCalls: [],
    status: "complete",
    result: "COMPLETE",
    model: "lab:ok",
    route: [],
    usage: NOTHING,
    cost: null,
    firstToken: null,
    startedAt: "2026-01-01T00:00:00Z",
    endedAt: "2026-01-01T00:00:01Z",
    source: { kind: "rest" },
    ...more,
  };
}

export function session(more: Partial<Session> = {}): Session {
  return {
    sessionId: "s",
    title: "",
    turns: 0,
    createdAt: "2026-01-01T00:00:00Z",
    updatedAt: "2026-01-01T00:00:00Z",
    expiresAt: null,
    usage: NOTHING,
    cost: null,
    liveStreamId: null,
    liveTurnId: null,
    livePrompt: null,
    ...more,
  };
}

/** The events of an answer to turn `turnId`, number `n` of session s; each piece of `texts` is one. */
export function stream(n: number, turnId: string, texts: string[], end: "end" | "error" = "end"): News[] {
  const streamId = `s~${n}`;
  const of = { sessionId: "s", streamId };
  const whole = texts.join("");
  const last =
    end === "end"
      ? { response: { ...turn(turnId), text: whole, result: "COMPLETE", model: "lab:ok", warnings: [] } }
      : { code: "PROVIDER_STREAM_ERROR", message: "It broke off.", partial: whole };
  const data: [string, Record<string, unknown>][] = [
    ["start", { turnId, model: "lab:ok" }],
    ...texts.map((text): [string, Record<string, unknown>] => ["content", { response: text }]),
    [end, last],
  ];
  return data.map(([event, one], at) => ({ event, id: `${n}-${at + 1}`, data: { ...one, ...of } }));
}

export function feed(event: string, id: string, more: Record<string, unknown> = {}): News {
  return { event, id, data: { sessionId: "s", ...more } };
}
