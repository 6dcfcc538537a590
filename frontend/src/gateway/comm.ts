import { newId } from "../ids";
import {
  type Gateway,
  type KernelVerbs,
  type News,
  type Reader,
  refusal,
  Unreachable,
  type Verb,
  type Verbs,
} from "./types";

/** What of anywidget's model is used. */
export interface Model {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  send(content: unknown): void;
  on(event: string, callback: (...args: never[]) => void): void;
  off(event: string, callback: (...args: never[]) => void): void;
  widget_manager?: unknown;
}

interface Message {
  page?: string;
  reply?: number;
  status?: number;
  body?: unknown;
  watch?: number;
  seq?: number;
  events?: News[];
}

interface Waiting {
  answered(message: Message): void;
}

interface Watched {
  sessionId: string;
  reader: Reader;
  call: number;
  seq: number;
  seen: Map<string, string>;
}

const ENDED = "The kernel that this panel asks has ended; run the panel's cell again.";
const AGAIN_MS = 10_000;
const GIVE_UP_MS = 60_000;
const SILENCE_MS = 40_000; // an empty message comes every 15 s

/** The gateway that the kernel uses, asked over the widget's comm: numbered calls, numbered news. */
export class Comm implements Gateway {
  private readonly page = newId();
  private readonly waiting = new Map<number, Waiting>();
  private number = 0;
  private watched: Watched | null = null;
  private silence: ReturnType<typeof setTimeout> | undefined;
  private isOver = false;
  private readonly heard = (message: Message) => this.take(message);

  /** `keeps`: what is asked here is saved in the notebook by the page itself. */
  constructor(
    private readonly model: Model,
    private readonly keeps = false,
  ) {
    model.on("msg:custom", this.heard as (...args: never[]) => void);
  }

  call<V extends Verb | keyof KernelVerbs>(
    verb: V,
    args: (Verbs & KernelVerbs)[V][0],
  ): Promise<(Verbs & KernelVerbs)[V][1]> {
    const told = verb === "ask" && this.keeps ? { ...args, keeps: true } : args;
    return this.asked(verb, told, GIVE_UP_MS) as Promise<(Verbs & KernelVerbs)[V][1]>;
  }

  watch(sessionId: string, reader: Reader): () => void {
    const watched: Watched = { sessionId, reader, call: 0, seq: 0, seen: new Map() };
    this.watched = watched;
    this.begin(watched);
    return () => {
      if (this.watched !== watched) return;
      this.watched = null;
      clearTimeout(this.silence);
      this.post({ page: this.page, call: ++this.number, verb: "unwatch", args: {} });
    };
  }

  /** The kernel has ended: whoever waits for it, or asks, is told at once. */
  over(): void {
    this.isOver = true;
    for (const one of [...this.waiting.values()]) one.answered({ status: 0 });
    this.watched?.reader.lost(ENDED);
    clearTimeout(this.silence);
  }

  close(): void {
    this.watched = null;
    clearTimeout(this.silence);
    this.model.off("msg:custom", this.heard as (...args: never[]) => void);
    for (const one of [...this.waiting.values()]) one.answered({ status: 0 });
  }

  private begin(watched: Watched): void {
    watched.seq = 0;
    const args = { sessionId: watched.sessionId, after: Object.fromEntries(watched.seen) };
    this.asked("watch", args, GIVE_UP_MS, (call) => (watched.call = call)).catch((error: Error) => {
      if (this.watched !== watched) return;
      watched.reader.lost(error.message);
      this.expect(AGAIN_MS);
    });
    this.expect(SILENCE_MS);
  }

  /** Watch anew where nothing comes for so long. */
  private expect(ms: number): void {
    clearTimeout(this.silence);
    if (!this.isOver) this.silence = setTimeout(() => this.watched && this.begin(this.watched), ms);
  }

  private asked(verb: string, args: unknown, giveUp: number, numbered?: (call: number) => void): Promise<unknown> {
    const call = ++this.number;
    numbered?.(call);
    const message = { page: this.page, call, verb, args };
    return new Promise((done, failed) => {
      const again = setInterval(() => this.post(message), AGAIN_MS);
      const late = setTimeout(() => answered({ status: 0 }), giveUp);
      const answered = ({ status = 0, body }: Message) => {
        clearInterval(again);
        clearTimeout(late);
        this.waiting.delete(call);
        if (status >= 200 && status < 300) done(body);
        else if (status === 0)
          failed(new Unreachable(this.isOver ? ENDED : "The kernel does not answer; it may be busy."));
        else failed(refusal(status, body));
      };
      this.waiting.set(call, { answered });
      if (this.isOver) answered({ status: 0 });
      else this.post(message);
    });
  }

  private post(message: unknown): void {
    try {
      this.model.send(message);
    } catch {
      // A comm that is closed says so here; the call's own time runs out, or the front end opens another.
    }
  }

  private take(message: Message): void {
    if (message.page !== this.page) return;
    if (message.reply !== undefined) this.waiting.get(message.reply)?.answered(message);
    else if (message.watch !== undefined) this.hear(message);
  }

  private hear({ watch, seq = 0, events = [] }: Message): void {
    const watched = this.watched;
    if (!watched || watch !== watched.call) return;
    this.expect(SILENCE_MS);
    if (events.some((one) => one.event === "moved")) {
      watched.seen.clear(); // the kernel has gone to another gateway, which knows none of these
      return this.begin(watched);
    }
    const next = events.length ? watched.seq + 1 : watched.seq;
    if (seq > next) return this.begin(watched); // one was lost
    if (seq < next) return; // one that was heard
    watched.seq = seq;
    for (const one of events) {
      if (one.event === "watching") {
        watched.reader.caughtUp();
        continue;
      }
      if (one.event === "error" && one.data["sessionId"] === undefined) {
        watched.reader.lost(String(one.data["message"]));
        this.expect(AGAIN_MS);
        continue;
      }
      const stream = one.data["streamId"];
      if (typeof stream === "string" && !one.event.startsWith("turn-")) {
        if (one.event === "end" || one.event === "error") watched.seen.delete(stream);
        else watched.seen.set(stream, one.id);
      }
      watched.reader.news(one);
    }
  }
}
