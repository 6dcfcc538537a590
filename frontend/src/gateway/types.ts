/** What a gateway tells and takes, in the words of docs/contracts/REST.md. Times are RFC 3339, durations seconds. */

export interface Usage {
  inputTokens: number;
  outputTokens: number;
  cachedTokens: number;
  reasoningTokens: number;
}

export interface Attempt {
  model: string;
  outcome: string;
  seconds: number;
  status?: number | null;
  reason?: string | null;
  restoresIn?: number | null;
}

export interface Attachment {
  kind: "text" | "image";
  name: string;
  mediaType?: string;
  text?: string;
  data?: string;
}

export interface ToolCall {
  id: string;
  name: string;
  arguments: string;
}

export type Status = "complete" | "stopped" | "failed" | "interrupted";

export interface Turn {
  turnId: string;
  n: number;
  prompt: string;
  attachments: Attachment[];
  response: string;
  toolCalls: ToolCall[];
  status: Status;
  result: string;
  model: string | null;
  route: Attempt[];
  usage: Usage;
  cost: number | null;
  firstToken: number | null;
  startedAt: string;
  endedAt: string;
  source: { kind: string; notebook?: string; cell?: string };
  error?: { code: string; message: string };
}

/** How an answer ended, as `end` carries it. */
export interface Answer {
  text: string;
  result: string;
  turnId: string | null;
  model: string;
  usage: Usage;
  cost: number | null;
  route: Attempt[];
  warnings: string[];
  firstToken?: number;
  toolCalls?: ToolCall[];
}

export interface Session {
  sessionId: string;
  title: string;
  turns: number;
  createdAt: string;
  updatedAt: string;
  expiresAt: string | null;
  usage: Usage;
  cost: number | null;
  liveStreamId?: string | null;
  liveTurnId?: string | null;
  livePrompt?: string | null;
}

export interface ModelState {
  model: string;
  alias: string | null;
  inChain: boolean;
  state: "ready" | "cooling" | "probing";
  reason?: string | null;
  restoresIn?: number | null;
}

export interface Ask {
  prompt: string;
  sessionId: string;
  createSession: boolean;
  models?: string[];
  attachments?: Attachment[];
  replaces?: string;
  continue?: string;
  source: { kind: "panel"; notebook?: string };
}

/** One thing that has happened to a session, or one event of its live answer. */
export interface News {
  event: string;
  id: string;
  data: Record<string, unknown>;
}

/** The verbs: what each takes, and what it is answered. */
export interface Verbs {
  ready: [Record<string, never>, { gatewayId?: string; status: string }];
  models: [Record<string, never>, { models: ModelState[] }];
  sessions: [{ search?: string; cursor?: string; limit?: number }, { sessions: Session[]; nextCursor: string | null }];
  session: [{ sessionId: string }, Session];
  history: [{ sessionId: string; last?: number }, { turns: Turn[] }];
  create: [{ sessionId?: string; title?: string }, Session];
  update: [{ sessionId: string; title: string }, Session];
  delete: [{ sessionId: string }, unknown];
  fork: [{ sessionId: string; at?: string }, Session];
  export: [{ sessionId: string; format: "json" | "md" | "ipynb" }, { name: string; mediaType: string; text: string }];
  ask: [{ key: string; ask: Ask }, { sessionId: string; turnId: string; streamId: string }];
  stop: [{ streamId: string }, { status: string }];
}

export type Verb = keyof Verbs;

/** What a kernel alone can tell: of the notebook's variables. */
export interface KernelVerbs {
  names: [Record<string, never>, { names: { name: string; kind: string; detail: string }[] }];
  attach: [{ name: string }, { attachment: Attachment }];
  file: [{ name: string; data: string }, { attachment: Attachment }];
  suggestions: [Record<string, never>, { prompts: { text: string; attach: string[] }[] }];
}

/** A gateway's no, as it says it. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly retryAfter?: number,
  ) {
    super(message);
  }
}

/** Nobody has answered; the message says who, and what to do. */
export class Unreachable extends Error {}

export interface Reader {
  /** All that happens from now on is told: whoever reads is to load what there is. Comes again after each gap. */
  caughtUp(): void;
  news(one: News): void;
  /** The way is lost, and tried again; `why` is a sentence. */
  lost(why: string): void;
}

export interface Gateway {
  /** Raises Refused and Unreachable. */
  call<V extends Verb>(verb: V, args: Verbs[V][0]): Promise<Verbs[V][1]>;
  /** Tell `reader` what happens to a session until the function that is returned is called. */
  watch(sessionId: string, reader: Reader): () => void;
}

/** The error that a body of the gateway tells. */
export function refusal(status: number, body: unknown): Refused {
  const said = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  const message = typeof said["message"] === "string" ? said["message"] : `The server answered ${status}.`;
  const after = typeof said["retryAfter"] === "number" ? said["retryAfter"] : undefined;
  return new Refused(status, String(said["code"] ?? status), message, after);
}
