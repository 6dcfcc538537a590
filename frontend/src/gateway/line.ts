import type { Server } from "./page";
import { SseReader } from "./sse";
import type { News, Reader } from "./types";

const SILENCE_MS = 40_000; // pings come every 15 s
const HIDDEN_MS = 5_000;
const PAUSES_MS = [500, 1_000, 2_000, 4_000, 8_000, 15_000];
const SETTLE_MS = 20; // panels of one page begin together

/** One connection: which sessions it is for, and whether all of them are watched yet. */
class Connection extends AbortController {
  watching = false;

  constructor(readonly sessions: Set<string>) {
    super();
  }
}

/**
 * The one connection by which all panels of a page hear what happens to their sessions. It is made anew when a session
 * comes to it, when it breaks, and when a hidden page is seen again; an answer is then read on from its last event.
 */
export class Line {
  private readonly readers = new Map<string, Set<Reader>>();
  private readonly gone = new Set<string>();
  private readonly seen = new Map<string, string>();
  private current: Connection | null = null;
  private settling: ReturnType<typeof setTimeout> | undefined;
  private hiding: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;

  constructor(private readonly server: Server) {
    document.addEventListener("visibilitychange", () => this.visibilityChanged());
    addEventListener("online", () => this.renew());
    addEventListener("pagehide", () => this.letGo());
  }

  /** Tell `reader` of a session, until the function that is returned is called. */
  add(sessionId: string, reader: Reader): () => void {
    const readers = this.readers.get(sessionId) ?? new Set();
    this.readers.set(sessionId, readers.add(reader));
    const isGone = this.gone.delete(sessionId);
    const isAnswering = this.forget(sessionId); // it is told from its beginning, which this reader has not heard
    if (isGone || isAnswering || !this.current?.sessions.has(sessionId)) this.renew();
    else if (this.current.watching) queueMicrotask(() => readers.has(reader) && reader.caughtUp());
    return () => this.remove(sessionId, reader);
  }

  private remove(sessionId: string, reader: Reader): void {
    const readers = this.readers.get(sessionId);
    if (!readers?.delete(reader) || readers.size) return;
    this.readers.delete(sessionId);
    this.forget(sessionId);
    this.current?.sessions.delete(sessionId); // who comes back has missed what is told meanwhile
    if (!this.readers.size) this.letGo();
  }

  /** Forget how far a session's answers were read; returns whether one was. */
  private forget(sessionId: string): boolean {
    const streams = [...this.seen.keys()].filter((one) => one.startsWith(`${sessionId}~`));
    return streams.map((one) => this.seen.delete(one)).length > 0;
  }

  private letGo(): void {
    clearTimeout(this.settling);
    this.current?.abort();
    this.current = null;
  }

  private visibilityChanged(): void {
    clearTimeout(this.hiding);
    if (document.hidden) this.hiding = setTimeout(() => this.letGo(), HIDDEN_MS);
    else if (!this.current) this.renew();
  }

  private renew(pause = SETTLE_MS): void {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => void this.connect(), pause);
  }

  private async connect(): Promise<void> {
    this.letGo();
    const sessions = new Set([...this.readers.keys()].filter((one) => !this.gone.has(one)));
    if (!sessions.size || document.hidden) return;
    const connection = (this.current = new Connection(sessions));
    const why = await this.read(connection).catch(() => "Jupyter's server does not answer.");
    if (this.current !== connection) return; // let go of, or another has taken its place
    this.current = null;
    if ([...this.readers.keys()].every((one) => this.gone.has(one))) return;
    const pause = PAUSES_MS[Math.min(this.failures++, PAUSES_MS.length - 1)] ?? 0;
    if (this.failures > 1) this.tell(sessions, (reader) => reader.lost(why));
    this.renew(pause);
  }

  /** Read until the connection ends; returns why it did. */
  private async read(connection: Connection): Promise<string> {
    const query = new URLSearchParams([...connection.sessions].map((one) => ["session", one]));
    for (const [stream, id] of this.seen) query.append("after", `${stream}:${id}`);
    const headers = this.server.headers();
    const answer = await fetch(`${this.server.base}api/v1/events?${query}`, { headers, signal: connection.signal });
    if (!answer.ok || !answer.body) {
      if (answer.status === 400) this.seen.clear(); // answers of a store that was emptied meanwhile
      return answer.status === 401 || answer.status === 403
        ? "Jupyter does not know this page any more: log in again in another tab."
        : `Jupyter's server answered ${answer.status}.`;
    }
    const chunks = answer.body.getReader();
    const [decoder, events] = [new TextDecoder(), new SseReader()];
    for (;;) {
      const silence = setTimeout(() => connection.abort(), SILENCE_MS);
      const { done, value } = await chunks.read().finally(() => clearTimeout(silence));
      if (done) return "Jupyter's server has ended the connection.";
      for (const one of events.read(decoder.decode(value, { stream: true }))) this.take(connection, one);
    }
  }

  private take(connection: Connection, one: News): void {
    if (!one.event) return this.comment(connection);
    const { sessionId, streamId } = one.data as { sessionId?: string; streamId?: string };
    if (sessionId === undefined) return;
    if (streamId !== undefined && !one.event.startsWith("turn-")) {
      if (one.event === "end" || one.event === "error") this.seen.delete(streamId);
      else this.seen.set(streamId, one.id);
    }
    if (one.event === "deleted" || (one.event === "error" && streamId === undefined)) this.gone.add(sessionId);
    this.tell([sessionId], (reader) => reader.news(one));
  }

  /** The first one says that all sessions are watched; those behind it only fill silence. */
  private comment(connection: Connection): void {
    if (connection.watching) return;
    connection.watching = true;
    this.failures = 0;
    this.tell(connection.sessions, (reader) => reader.caughtUp());
  }

  private tell(sessions: Iterable<string>, what: (reader: Reader) => void): void {
    for (const one of sessions) for (const reader of [...(this.readers.get(one) ?? [])]) what(reader);
  }
}
