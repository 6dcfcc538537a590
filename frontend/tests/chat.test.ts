import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Chat } from "../src/chat";
import { isBusy } from "../src/conversation";
import { keep, keepDraft, keptDraft } from "../src/drafts";
import { type Gateway, type News, type Reader, Refused, Unreachable, type Verb } from "../src/gateway/types";
import { feed, session, stream, turn } from "./kit";

const store = new Map<string, string>();

beforeEach(() => {
  store.clear();
  Object.assign(globalThis, {
    document: { hidden: true },
    location: { pathname: "/lab/tree/a.ipynb" },
    localStorage: {
      getItem: (name: string) => store.get(name) ?? null,
      setItem: (name: string, value: string) => store.set(name, value),
      removeItem: (name: string) => store.delete(name),
    },
  });
  keepDraft("s", null);
  keep("refused s", null);
});

type Answer = (args: Record<string, unknown>) => unknown;

/** A gateway's far end: what it is asked, and what it says. */
class FarEnd implements Gateway {
  readonly calls: [string, Record<string, unknown>][] = [];
  readonly readers = new Map<string, Reader>();
  answers: Record<string, Answer> = {
    session: ({ sessionId }) => session({ sessionId: sessionId as string }),
    history: () => ({ turns: [] }),
    models: () => ({ models: [] }),
    ask: ({ key }) => ({ sessionId: "s", turnId: key, streamId: "s~1" }),
    stop: () => ({ status: "stopped" }),
  };
  async call(verb: Verb, args: never): Promise<never> {
    this.calls.push([verb, args]);
    return (await this.answers[verb]?.(args)) as never;
  }
  watch(sessionId: string, reader: Reader): () => void {
    this.readers.set(sessionId, reader);
    return () => this.readers.get(sessionId) === reader && this.readers.delete(sessionId);
  }
  of(verb: string): Record<string, unknown>[] {
    return this.calls.filter(([name]) => name === verb).map(([, args]) => args);
  }
  tell(...news: News[]): void {
    for (const one of news) this.readers.get("s")?.news(one);
  }
}

const settled = () => new Promise((done) => setTimeout(done, 5));

async function opened(): Promise<[Chat, FarEnd]> {
  const end = new FarEnd();
  const chat = new Chat(end, "s", () => "n.ipynb");
  chat.begin();
  end.readers.get("s")?.caughtUp();
  await settled();
  return [chat, end];
}

const now = (chat: Chat) => chat.view.conversation;

test("a prompt that nobody has heard of is asked again under its old id, a refused one under a new one", async () => {
  const [chat, end] = await opened();
  end.answers["ask"] = () => Promise.reject(new Unreachable("gone"));
  await chat.ask({ prompt: "Hello" });
  const [unheard] = now(chat).refused;
  assert.ok(unheard);
  end.answers["ask"] = () => Promise.reject(new Refused(400, "INVALID_REQUEST", "No."));
  await chat.retry(unheard, []);
  const [refused] = now(chat).refused;
  assert.ok(refused);
  await chat.retry(refused, ["lab:other"]);
  const [first, second, third] = end.of("ask");
  assert.equal(first?.["key"], second?.["key"]);
  assert.notEqual(second?.["key"], third?.["key"]);
  assert.deepEqual((third?.["ask"] as { models: string[] }).models, ["lab:other"]);
  assert.equal(now(chat).refused.length, 1);
  chat.close();
});

const fails = (key: string) => feed("turn-ended", "1-2", { streamId: "s~1", turnId: key, status: "failed" });

test("a prompt that came to nothing is asked again in its turn's place, before that turn is loaded and after", async () => {
  const [chat, end] = await opened();
  await chat.ask({ prompt: "Hello" });
  const key = String(end.of("ask")[0]?.["key"]);
  end.answers["history"] = () => new Promise(() => {}); // the turn that was kept of it has not come yet
  end.tell(fails(key));
  const [first] = now(chat).refused;
  assert.ok(first);
  await chat.retry(first, []);
  const again = end.of("ask")[1];
  assert.equal((again?.["ask"] as { replaces: string }).replaces, key);
  end.tell(fails(String(again?.["key"])));
  const [second] = now(chat).refused;
  assert.ok(second);
  await chat.retry(second, []); // nothing was kept of the second: it is still the first one's place
  assert.equal((end.of("ask")[2]?.["ask"] as { replaces: string }).replaces, key);
  chat.close();
});

test("where the turn that was to be asked anew is gone, the prompt is asked behind those that are there", async () => {
  const [chat, end] = await opened();
  end.answers["ask"] = () => Promise.reject(new Refused(404, "TURN_NOT_FOUND", "No such turn."));
  await chat.ask({ prompt: "Hello", replaces: "gone" });
  const [refused] = now(chat).refused;
  assert.ok(refused);
  await chat.retry(refused, []);
  assert.equal((end.of("ask")[1]?.["ask"] as { replaces?: string }).replaces, undefined);
  chat.close();
});

test("while an answer is being made, a prompt that came to nothing is not asked again, and is not lost", async () => {
  const [chat, end] = await opened();
  end.answers["ask"] = () => Promise.reject(new Refused(400, "INVALID_REQUEST", "No."));
  await chat.ask({ prompt: "Hello" });
  const [refused] = now(chat).refused;
  assert.ok(refused);
  end.tell(feed("turn-started", "1-1", { streamId: "s~1", turnId: "of another" }));
  await chat.retry(refused, []);
  assert.deepEqual([now(chat).refused.length, end.of("ask").length], [1, 1]);
  chat.close();
});

test("while one prompt is on its way, a second is not asked", async () => {
  const [chat, end] = await opened();
  void chat.ask({ prompt: "One" });
  void chat.ask({ prompt: "Two" });
  await settled();
  assert.equal(end.of("ask").length, 1);
  chat.close();
});

test("what was sent is a draft until it was heard, and what is typed meanwhile stays", async () => {
  const [chat, end] = await opened();
  let heard = () => {};
  end.answers["ask"] = ({ key }) =>
    new Promise((done) => (heard = () => done({ sessionId: "s", turnId: key, streamId: "s~1" })));
  const asking = chat.ask({ prompt: "First" });
  assert.equal(keptDraft("s").text, "First");
  keepDraft("s", { text: "Second", attachments: [] });
  heard();
  await asking;
  assert.equal(keptDraft("s").text, "Second");
  chat.close();
});

test("refused prompts are there again after a reload", async () => {
  const [chat, end] = await opened();
  end.answers["ask"] = () => Promise.reject(new Refused(429, "X", "Later."));
  await chat.ask({ prompt: "Keep me" });
  chat.close();
  const [again] = await opened();
  assert.deepEqual(
    now(again).refused.map((one) => [one.prompt, one.failure.message]),
    [["Keep me", "Later."]],
  );
  assert.equal(keptDraft("s").text, "");
  again.close();
});

test("a stop that comes before the prompt was taken is carried out as soon as it is", async () => {
  const [chat, end] = await opened();
  let take = () => {};
  end.answers["ask"] = ({ key }) =>
    new Promise((done) => (take = () => done({ sessionId: "s", turnId: key, streamId: "s~1" })));
  end.answers["stop"] = ({ streamId }) =>
    streamId === "s~1" ? { status: "stopped" } : Promise.reject(new Refused(404, "STREAM_NOT_FOUND", "None."));
  const asking = chat.ask({ prompt: "Hello" });
  await chat.stop();
  take();
  await asking;
  assert.equal(end.of("stop").at(-1)?.["streamId"], "s~1");
  assert.equal(chat.view.trouble, "");
  chat.close();
});

test("a stop that fails says so", async () => {
  const [chat, end] = await opened();
  end.tell(feed("turn-started", "1-1", { streamId: "s~1", turnId: "t" }));
  end.answers["stop"] = () => Promise.reject(new Refused(503, "SESSION_BUSY", "It does not stop."));
  await chat.stop();
  assert.equal(chat.view.trouble, "It does not stop.");
  chat.close();
});

test("what is loaded for one session is not shown in another", async () => {
  const [chat, end] = await opened();
  let late = () => {};
  end.answers["history"] = ({ sessionId }) =>
    sessionId === "s" ? new Promise((done) => (late = () => done({ turns: [turn("old")] }))) : { turns: [turn("new")] };
  end.tell(feed("updated", "1-1"));
  await settled();
  chat.open("other");
  end.readers.get("other")?.caughtUp();
  await settled();
  late();
  await settled();
  assert.deepEqual(
    now(chat).turns.map((one) => one.turnId),
    ["new"],
  );
  assert.equal(end.readers.has("s"), false);
  chat.close();
});

test("news that comes while the conversation is loaded is not lost to what was read before it", async () => {
  const [chat, end] = await opened();
  const answers: (() => void)[] = [];
  end.answers["session"] = () =>
    new Promise((done) => answers.push(() => done(session({ liveStreamId: null, turns: 0 }))));
  end.readers.get("s")?.caughtUp();
  await settled();
  const [start, one] = stream(1, "t", ["word"]) as [News, News];
  end.tell(feed("turn-started", "1-1", { streamId: "s~1", turnId: "t" }), start, one);
  end.answers["session"] = () => session({ liveStreamId: "s~1", liveTurnId: "t", livePrompt: "asked t" });
  answers.forEach((answer) => answer());
  await settled();
  assert.equal(now(chat).live?.text, "word");
  assert.equal(now(chat).live?.prompt, "asked t");
  chat.close();
});

test("a load that fails is tried again; models that cannot be had stop nothing", async (t) => {
  const [chat, end] = await opened();
  t.mock.timers.enable({ apis: ["setTimeout"] });
  end.answers["models"] = () => Promise.reject(new Unreachable("gone"));
  end.answers["history"] = () => Promise.reject(new Refused(503, "STORAGE_UNAVAILABLE", "The store is away."));
  await chat.loadModels();
  assert.equal(chat.view.lost, null);
  end.tell(feed("updated", "1-1"));
  for (let turns = 0; turns < 20; turns++) await Promise.resolve();
  assert.equal(chat.view.lost, "The store is away.");
  end.answers["history"] = () => ({ turns: [turn("a")] });
  t.mock.timers.tick(5_000);
  for (let turns = 0; turns < 20; turns++) await Promise.resolve();
  assert.equal(chat.view.lost, null);
  assert.equal(now(chat).turns.length, 1);
  chat.close();
});

test("an answer's end frees the panel, whatever came first", async () => {
  const [chat, end] = await opened();
  await chat.ask({ prompt: "Hello" });
  const key = String(end.of("ask")[0]?.["key"]);
  end.tell(feed("turn-started", "1-1", { streamId: "s~1", turnId: key }), ...stream(1, key, ["Hi"]));
  end.answers["history"] = () => ({ turns: [turn(key)] });
  let kept = 0;
  chat.onKept = () => kept++;
  end.tell(feed("turn-ended", "1-2", { streamId: "s~1", turnId: key, status: "complete" }));
  await settled();
  assert.deepEqual([isBusy(now(chat)), now(chat).live, now(chat).turns.length, kept], [false, null, 1, 1]);
  chat.close();
});
