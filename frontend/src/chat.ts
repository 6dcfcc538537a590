import * as conversation from "./conversation";
import type { Conversation, RefusedPrompt, Sent } from "./conversation";
import { dropDraft, keep, keepDraft, kept } from "./drafts";
import {
  type Ask,
  type Attachment,
  type Gateway,
  type ModelState,
  type News,
  Refused,
  type Turn,
} from "./gateway/types";
import { newId } from "./ids";

/** The code of a prompt that may have been heard: nobody has said. */
const UNHEARD = "UNHEARD";
const FIRST = 50;
const MORE = 50;
/** Models are asked for again so often while one of them is passed over. */
const MODELS_MS = 10_000;
const AGAIN_MS = 5_000;

export interface View {
  conversation: Conversation;
  /** How many of the newest turns are kept here; there may be more. */
  window: number;
  models: readonly ModelState[];
  /** Why nothing comes from the gateway at the moment, or null. */
  lost: string | null;
  /** What has just gone wrong, or "". */
  trouble: string;
}

/** What a prompt is asked with. */
export interface Wish {
  prompt: string;
  attachments?: Attachment[];
  models?: string[];
  replaces?: string;
  continues?: string;
  /** The id that the turn was sent under before, where it is not known whether that was heard. */
  key?: string;
}

/** One panel's conversation: follows a session, asks in it, and tells whoever draws it that there is news. */
export class Chat {
  private now: View;
  private leave: () => void = () => {};
  private stale = false;
  /** Which session is being loaded, by a number of its own: what comes of an earlier one is not of interest. */
  private opening = 0;
  private loading = -1;
  private later: ReturnType<typeof setTimeout> | undefined;
  private polling: ReturnType<typeof setTimeout> | undefined;
  private stopping: string | null = null;
  private readonly drawn = new Set<() => void>();
  private frame = false;
  private readonly own = new Set<string>();
  /** Called once turns that were asked here are kept in the session. */
  onKept: () => void = () => {};

  constructor(
    private readonly gateway: Gateway,
    sessionId: string,
    private readonly notebook: () => string,
  ) {
    this.now = { conversation: fresh(sessionId), window: FIRST, models: [], lost: null, trouble: "" };
  }

  get view(): View {
    return this.now;
  }

  /** Call `draw` after changes, at most once a frame, until the function that is returned is called. */
  onChange(draw: () => void): () => void {
    this.drawn.add(draw);
    return () => this.drawn.delete(draw);
  }

  begin(): void {
    this.follow();
    void this.loadModels();
  }

  close(): void {
    this.leave();
    this.leave = () => {};
    this.opening++;
    clearTimeout(this.polling);
    clearTimeout(this.later);
    this.drawn.clear();
  }

  open(sessionId: string): void {
    if (sessionId === this.now.conversation.sessionId) return;
    this.change({ conversation: fresh(sessionId), window: FIRST, trouble: "" });
    this.follow();
  }

  showEarlier(): void {
    this.change({ window: this.now.window + MORE });
    void this.load();
  }

  /** Do what may fail, and tell of it. */
  async attempt(what: () => Promise<unknown>): Promise<void> {
    this.change({ trouble: "" });
    await what().catch((error: unknown) => this.change({ trouble: failure(error).message }));
  }

  // -- what is asked

  /** Ask, unless an answer is being made; what comes of it is told by the conversation. */
  async ask(wish: Wish): Promise<void> {
    if (conversation.isBusy(this.now.conversation)) return;
    const { replaces, continues } = wish;
    const sent: Sent = {
      key: wish.key ?? newId(),
      prompt: wish.prompt,
      attachments: wish.attachments ?? [],
      models: wish.models ?? [],
      since: performance.now(),
      ...(replaces && { replaces }),
      ...(continues && { continues }),
    };
    const { sessionId, state } = this.now.conversation;
    const isHere = () => this.now.conversation.sessionId === sessionId;
    this.own.add(sent.continues ?? sent.key);
    const isDraft = !sent.replaces && !sent.continues;
    if (isDraft) keepDraft(sessionId, { text: sent.prompt, attachments: sent.attachments, key: sent.key });
    this.update((now) => conversation.asked(now, sent));
    try {
      const { streamId } = await this.gateway.call("ask", { key: sent.key, ask: this.body(sent, sessionId) });
      dropDraft(sessionId, sent.key);
      if (!isHere()) return;
      this.update((now) => conversation.taken(now, sent.key, streamId));
      if (state === "gone") this.follow(); // it is there from now on
      if (this.stopping === sent.key) await this.stop();
    } catch (error) {
      if (!isHere()) return; // its draft is kept
      dropDraft(sessionId, sent.key); // it is among the refused
      this.update((now) => conversation.refused(now, sent.key, failure(error)));
    }
  }

  private body(sent: Sent, sessionId: string): Ask {
    const notebook = this.notebook();
    return {
      prompt: sent.continues ? "" : sent.prompt,
      sessionId,
      createSession: true,
      source: { kind: "panel", ...(notebook && { notebook }) },
      ...(sent.models.length && { models: sent.models }),
      ...(sent.attachments.length && !sent.continues && { attachments: sent.attachments }),
      ...(sent.replaces && { replaces: sent.replaces }),
      ...(sent.continues && { continue: sent.continues }),
    };
  }

  again({ prompt, attachments, turnId }: Turn, models: string[]): Promise<void> {
    return this.ask({ prompt, attachments, models, replaces: turnId });
  }

  goOn({ prompt, attachments, turnId }: Turn, models: string[]): Promise<void> {
    return this.ask({ prompt, attachments, models, continues: turnId });
  }

  /** Ask once more what has come to nothing: under its old id where it may have been heard. */
  async retry(refused: RefusedPrompt, models: string[]): Promise<void> {
    if (conversation.isBusy(this.now.conversation)) return; // it stays where it is
    const { key, prompt, attachments, continues } = refused;
    const isUnheard = refused.failure.code === UNHEARD;
    const wish: Wish = { prompt, attachments, models: models.length ? models : refused.models };
    const replaces = conversation.placeOf(refused);
    if (replaces) wish.replaces = replaces;
    if (continues) wish.continues = continues;
    if (isUnheard) wish.key = key;
    else this.forget(key);
    return this.ask(wish);
  }

  forget(key: string): void {
    this.update((now) => conversation.forgotten(now, key));
  }

  /** Stop the answer that is being made, the own one first; what has come of it is kept. */
  async stop(): Promise<void> {
    const { live, sent } = this.now.conversation;
    const isOther = sent !== null && !(live && conversation.isOf(sent, live.turnId));
    const streamId = isOther ? (sent.streamId ?? sent.key) : live?.ended ? undefined : live?.streamId;
    if (!streamId) return;
    this.stopping = isOther && !sent.streamId ? sent.key : null; // it is not asked yet, and to be stopped once it is
    await this.attempt(async () => {
      try {
        await this.gateway.call("stop", { streamId });
      } catch (error) {
        if (!(error instanceof Refused && error.status === 404)) throw error; // 404: it has ended, or not begun
      }
    });
  }

  // -- what is told

  private follow(): void {
    this.leave();
    clearTimeout(this.later);
    const { sessionId } = this.now.conversation;
    const opening = ++this.opening;
    const isIt = () => this.opening === opening;
    this.leave = this.gateway.watch(sessionId, {
      caughtUp: () => isIt() && void this.load(),
      news: (one) => isIt() && this.hear(one),
      lost: (why) => isIt() && this.change({ lost: why }),
    });
  }

  private hear(one: News): void {
    this.update((now) => conversation.told(now, one, performance.now()));
    if (conversation.changes(one)) void this.load();
    if (["end", "error", "restart"].includes(one.event)) void this.loadModels();
  }

  /** Load the conversation, once at a time; what has changed meanwhile is loaded again. */
  private async load(): Promise<void> {
    const { opening } = this;
    this.stale = true;
    clearTimeout(this.later);
    if (this.loading === opening) return;
    this.loading = opening;
    while (this.stale && this.opening === opening) {
      this.stale = false;
      await this.loadOnce(() => this.opening === opening);
    }
    if (this.loading === opening) this.loading = -1;
  }

  private async loadOnce(isIt: () => boolean): Promise<void> {
    const { sessionId, sent } = this.now.conversation;
    const taken = sent?.streamId ? sent.key : undefined;
    try {
      const [session, { turns }] = await Promise.all([
        this.gateway.call("session", { sessionId }),
        this.gateway.call("history", { sessionId, last: this.now.window }),
      ]);
      if (this.stale || !isIt()) return;
      this.change({ lost: null });
      this.update((now) => conversation.loaded(now, session, turns, performance.now(), taken));
      if (turns.filter((one) => this.own.delete(one.turnId)).length) this.onKept();
    } catch (error) {
      if (!isIt()) return;
      if (error instanceof Refused && error.status === 404) {
        this.change({ lost: null });
        this.update((now) => ({ ...now, state: "gone" }));
      } else {
        this.change({ lost: failure(error).message });
        this.later = setTimeout(() => void this.load(), AGAIN_MS);
      }
    }
  }

  /** Learn who can be asked. What fails here is no reason to stop: the conversation's own line says what is wrong. */
  async loadModels(): Promise<void> {
    clearTimeout(this.polling);
    const told = await this.gateway.call("models", {}).catch(() => null);
    if (told) this.change({ models: told.models });
    const isOneOut = this.now.models.some((one) => one.state !== "ready");
    if (isOneOut && this.drawn.size) this.polling = setTimeout(() => void this.loadModels(), MODELS_MS);
  }

  // -- what is drawn

  private update(how: (now: Conversation) => Conversation): void {
    const before = this.now.conversation;
    const after = how(before);
    if (after.refused !== before.refused)
      keep(`refused ${after.sessionId}`, after.refused.length ? after.refused : null);
    this.change({ conversation: after });
  }

  private change(what: Partial<View>): void {
    this.now = { ...this.now, ...what };
    if (this.frame) return;
    this.frame = true;
    const draw = () => {
      this.frame = false;
      for (const one of [...this.drawn]) one();
    };
    if (document.hidden)
      setTimeout(draw, 250); // there are no frames
    else requestAnimationFrame(draw);
  }
}

/** A conversation that is to be loaded, with the prompts that came to nothing before the page was left. */
function fresh(sessionId: string): Conversation {
  const found = kept(`refused ${sessionId}`);
  return conversation.empty(sessionId, Array.isArray(found) ? (found as RefusedPrompt[]) : []);
}

export function failure(error: unknown): conversation.Failure {
  if (error instanceof Refused) return { code: error.code, message: error.message };
  return { code: UNHEARD, message: error instanceof Error ? error.message : String(error) };
}
