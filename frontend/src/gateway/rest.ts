import { Line } from "./line";
import { shared, type Server } from "./page";
import { type Gateway, type Reader, refusal, Unreachable, type Verb, type Verbs } from "./types";

const PAUSES_MS = [200, 800, 2_000];
const LONGEST_MS = 60_000;

interface Call {
  verb: string;
  path: string;
  body?: unknown;
  headers?: Record<string, string>;
}

type Calls = { [V in Verb]: (args: Verbs[V][0]) => Call };

const at = (sessionId: string, more = "") => `sessions/${encodeURIComponent(sessionId)}${more}`;

const CALLS: Calls = {
  ready: () => ({ verb: "GET", path: "health/ready" }),
  models: () => ({ verb: "GET", path: "models" }),
  sessions: (args) => ({ verb: "GET", path: `sessions?${query(args)}` }),
  session: ({ sessionId }) => ({ verb: "GET", path: at(sessionId) }),
  history: ({ sessionId, ...args }) => ({ verb: "GET", path: at(sessionId, `/history?${query(args)}`) }),
  create: (body) => ({ verb: "POST", path: "sessions", body }),
  update: ({ sessionId, title }) => ({ verb: "PATCH", path: at(sessionId), body: { title } }),
  delete: ({ sessionId }) => ({ verb: "DELETE", path: at(sessionId) }),
  fork: ({ sessionId, ...body }) => ({ verb: "POST", path: at(sessionId, "/fork"), body }),
  export: ({ sessionId, format }) => ({ verb: "GET", path: at(sessionId, `/export?format=${format}`) }),
  ask: ({ key, ask }) => ({
    verb: "POST",
    path: "stream",
    body: ask,
    headers: { "Idempotency-Key": key, Prefer: "respond-async" },
  }),
  stop: ({ streamId }) => ({ verb: "POST", path: `streams/${encodeURIComponent(streamId)}/stop`, body: {} }),
};

/** What may be sent once more when its answer was lost: all but what would be done twice. */
const ONCE = new Set<Verb>(["create", "fork"]);

/** The gateway of the page's own server, over REST. */
export class Rest implements Gateway {
  private readonly line: Line;

  constructor(private readonly server: Server) {
    this.line = shared(`line ${server.base}`, () => new Line(server));
  }

  async call<V extends Verb>(verb: V, args: Verbs[V][0]): Promise<Verbs[V][1]> {
    const tries = ONCE.has(verb) ? 1 : PAUSES_MS.length + 1;
    for (let number = 0; ; number++) {
      try {
        return (await this.sent(verb, CALLS[verb](args))) as Verbs[V][1];
      } catch (error) {
        if (!(error instanceof Unreachable) || number + 1 >= tries) throw error;
        await new Promise((done) => setTimeout(done, PAUSES_MS[number]));
      }
    }
  }

  watch(sessionId: string, reader: Reader): () => void {
    return this.line.add(sessionId, reader);
  }

  private async sent(verb: Verb, call: Call): Promise<unknown> {
    const headers = { ...this.server.headers(), ...call.headers, "Content-Type": "application/json" };
    const answer = await fetch(`${this.server.base}api/v1/${call.path}`, {
      method: call.verb,
      headers,
      body: call.body === undefined ? null : JSON.stringify(call.body),
      signal: AbortSignal.timeout(LONGEST_MS),
    }).catch(() => {
      throw new Unreachable("Jupyter's server does not answer.");
    });
    const text = await answer.text().catch(() => {
      throw new Unreachable("Jupyter's server broke off its answer.");
    });
    if (answer.ok && verb === "export") return file(answer, text);
    const said = text ? json(text) : {};
    if (answer.ok && said !== undefined) return said;
    // What is no JSON is a proxy's page: it tells nothing of whether the gateway has heard.
    if (answer.ok) throw new Unreachable("Jupyter asks for a login: log in again in another tab.");
    if (said === undefined && answer.status >= 500) throw new Unreachable(`The server answered ${answer.status}.`);
    throw refusal(answer.status, said);
  }
}

function file(answer: Response, text: string): Verbs["export"][1] {
  const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1];
  return { name: name ?? "conversation", mediaType: answer.headers.get("Content-Type") ?? "text/plain", text };
}

function query(args: Record<string, string | number | undefined>): string {
  const said = Object.entries(args).filter(([, value]) => value !== undefined && value !== "");
  return new URLSearchParams(said.map(([name, value]) => [name, String(value)])).toString();
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
