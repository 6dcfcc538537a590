import assert from "node:assert/strict";
import { test } from "node:test";
import * as conversation from "../src/conversation";
import type { Conversation, Sent } from "../src/conversation";
import type { News, Turn } from "../src/gateway/types";
import { items } from "../src/items";
import { feed, session, stream, turn } from "./kit";

const all = (now: Conversation, news: News[]) => news.reduce((so, one) => conversation.told(so, one, 0), now);
const here = (turns: Turn[] = [], more = {}) =>
  conversation.loaded(conversation.empty("s"), session({ turns: turns.length, ...more }), turns, 0);
const sent = (key: string, more: Partial<Sent> = {}): Sent => ({
  key,
  prompt: `asked ${key}`,
  attachments: [],
  models: [],
  since: 0,
  ...more,
});
const reasons = (now: Conversation) => now.refused.map((one) => one.failure.message);
const shown = (now: Conversation) => conversation.visible(now).map((one) => one.turnId);

test("a prompt is shown from the moment it is sent, then its answer, then the turn, and never twice", () => {
  let now = conversation.asked(here([turn("a")]), sent("b"));
  assert.deepEqual([shown(now), now.live, conversation.isBusy(now)], [["a"], null, true]);
  now = all(now, [feed("turn-started", "1-1", { streamId: "s~2", turnId: "b" })]);
  assert.equal(now.live?.prompt, "asked b");
  const events = stream(2, "b", ["Hel", "lo"]);
  now = all(now, events.slice(0, 3));
  assert.deepEqual([now.live?.text, now.live?.model], ["Hello", "lab:ok"]);
  now = all(now, events.slice(3));
  assert.deepEqual([now.live?.ended?.answer?.text, now.sent, conversation.isBusy(now)], ["Hello", null, false]);
  now = conversation.loaded(now, session({ turns: 2 }), [turn("a"), turn("b")], 0);
  assert.deepEqual([shown(now), now.live, now.sent], [["a", "b"], null, null]);
});

test("an event that comes again changes nothing", () => {
  const events = stream(1, "a", ["x", "y", "z"]);
  const once = all(here([], { liveStreamId: "s~1", liveTurnId: "a" }), events.slice(0, 4));
  assert.deepEqual(all(once, events.slice(0, 4)), once);
  assert.equal(all(once, events).live?.text, "xyz");
});

test("somebody else's answer is followed from wherever it is, with its prompt", () => {
  let now = here([turn("a")], { liveStreamId: "s~2", liveTurnId: "b", livePrompt: "what they ask" });
  assert.equal(now.live?.prompt, "what they ask");
  now = all(now, stream(2, "b", ["so ", "it is"]).slice(0, 3));
  assert.equal(now.live?.text, "so it is");
});

test("an answer whose end was missed is gone with the next load", () => {
  const now = all(here([], { liveStreamId: "s~1", liveTurnId: "a" }), stream(1, "a", ["x"]).slice(0, 2));
  assert.equal(conversation.loaded(now, session({ turns: 1 }), [turn("a")], 0).live, null);
});

test("a turn that is asked anew gives its place, and gets it back where nothing comes of that", () => {
  const before = here([turn("a"), turn("b"), turn("c")]);
  let now = conversation.asked(before, sent("d", { replaces: "b" }));
  assert.deepEqual(shown(now), ["a"]);
  const started = feed("turn-started", "9-1", { streamId: "s~4", turnId: "d" });
  now = all(now, [started, ...stream(4, "d", [], "error").slice(1)]);
  assert.deepEqual([shown(now), reasons(now)], [["a", "b", "c"], ["It broke off."]]);
  now = all(conversation.asked(before, sent("d", { replaces: "b" })), [
    started,
    feed("turn-ended", "9-2", { turnId: "d", status: "failed" }),
  ]);
  assert.deepEqual([shown(now), reasons(now), now.live], [["a", "b", "c"], ["No model has answered."], null]);
});

test("a turn that is asked anew does not come back between its answer's end and the next load", () => {
  const now = conversation.asked(here([turn("a"), turn("b")]), sent("d", { replaces: "b" }));
  const answered = all(now, [feed("turn-started", "9-1", { streamId: "s~4", turnId: "d" }), ...stream(4, "d", ["x"])]);
  assert.deepEqual([items(answered).map((one) => one.key), answered.sent], [["a", "d"], null]);
});

test("a failed turn that is asked once more is shown by what came of that, and is back when that is forgotten", () => {
  const before = here([turn("a"), turn("b", { status: "failed" })]);
  let now = conversation.asked(before, sent("d", { replaces: "b" }));
  now = all(now, [feed("turn-ended", "9-2", { turnId: "d", streamId: "s~4", status: "failed" })]);
  const keys = () => items(now).map((one) => one.key);
  assert.deepEqual(keys(), ["a", "refused d"]);
  now = conversation.forgotten(now, "d");
  assert.deepEqual(keys(), ["a", "b"]);
});

test("an answer that is gone on with is shown once, with what there was of it", () => {
  const part = turn("a", { status: "stopped", response: "Once" });
  let now = conversation.asked(here([part]), sent("k", { continues: "a", prompt: "asked a" }));
  assert.deepEqual(shown(now), []);
  now = all(now, [
    feed("turn-started", "1-1", { streamId: "s~2", turnId: "k" }),
    ...stream(2, "a", ["Once", " upon"]).slice(0, 3),
  ]);
  assert.deepEqual([shown(now), now.live?.text, now.live?.prompt], [[], "Once upon", "asked a"]);
  now = conversation.loaded(
    all(now, stream(2, "a", ["Once", " upon"]).slice(3)),
    session(),
    [turn("a", { response: "Once upon" })],
    0,
  );
  assert.deepEqual([shown(now), now.live, now.sent], [["a"], null, null]);
});

test("an answer that fails before its first word is the turn that is kept of it, if one is", () => {
  const error = feed("error", "1-1", { streamId: "s~1", code: "X", message: "No." });
  let now = conversation.asked(here(), sent("a"));
  now = all(now, [feed("turn-started", "1-1", { streamId: "s~1", turnId: "a" }), error]);
  assert.deepEqual([reasons(now), conversation.isBusy(now)], [["No."], false]);
  now = conversation.loaded(now, session(), [turn("a", { status: "failed" })], 0);
  assert.deepEqual([now.refused, shown(now)], [[], ["a"]]);
});

test("why nothing came may be told after it is known that nothing came", () => {
  const started = feed("turn-started", "1-1", { streamId: "s~1", turnId: "a" });
  const ended = feed("turn-ended", "1-2", { streamId: "s~1", turnId: "a", status: "failed" });
  const error = feed("error", "1-1", { streamId: "s~1", code: "X", message: "Too many." });
  assert.deepEqual(reasons(all(conversation.asked(here(), sent("a")), [started, ended, error])), ["Too many."]);
});

test("a prompt whose end was missed is over with the next load that was begun after it was taken", () => {
  const taken = (more: Partial<Sent>) =>
    conversation.taken(conversation.asked(here([turn("a"), turn("b")]), sent("k", more)), "k", "s~9");
  const load = (now: Conversation, key?: string) =>
    conversation.loaded(now, session({ turns: 2 }), [turn("a"), turn("b")], 0, key);
  assert.equal(conversation.isBusy(load(taken({ continues: "b" }))), true); // it may not have begun then
  const [on, instead] = [load(taken({ continues: "b" }), "k"), load(taken({ replaces: "b" }), "k")];
  assert.deepEqual([shown(on), conversation.isBusy(on), on.refused], [["a", "b"], false, []]);
  assert.deepEqual([shown(instead), reasons(instead)], [["a", "b"], ["No model has answered."]]);
});

test("a prompt that nobody seemed to have heard, and that is answered after all, is shown once", () => {
  let now = conversation.refused(conversation.asked(here(), sent("a")), "a", { code: "UNHEARD", message: "?" });
  assert.deepEqual(reasons(now), ["?"]);
  now = all(now, [feed("turn-started", "1-1", { streamId: "s~1", turnId: "a" })]);
  assert.deepEqual([now.refused, now.live?.prompt, items(now).length], [[], "asked a", 1]);
});

test("an answer that is told after its turn was loaded changes nothing", () => {
  const now = here([turn("a", { n: 7 })]);
  const late = [feed("turn-started", "1-1", { streamId: "s~7", turnId: "a" }), ...stream(7, "a", ["x"])];
  assert.deepEqual(all(now, late), now);
});

test("a refused prompt stays beside the next one, until it is asked again or forgotten", () => {
  const first = conversation.refused(conversation.asked(here(), sent("a")), "a", { code: "X", message: "No." });
  const second = conversation.asked(first, sent("b"));
  assert.deepEqual(
    items(second).map((one) => one.prompt),
    ["asked b", "asked a"],
  );
  assert.deepEqual(conversation.forgotten(second, "a").refused, []);
  assert.deepEqual(conversation.asked(first, sent("a")).refused, []);
});

test("an own prompt in line is shown beside somebody else's answer", () => {
  const now = conversation.asked(here([], { liveStreamId: "s~1", liveTurnId: "t", livePrompt: "theirs" }), sent("m"));
  assert.deepEqual(
    items(now).map((one) => [one.prompt, one.growing]),
    [
      ["theirs", true],
      ["asked m", true],
    ],
  );
});

test("an item keeps its key from the prompt that is sent to the turn that is kept", () => {
  const keys = (now: Conversation) => items(now).map((one) => one.key);
  let now = conversation.asked(here(), sent("a"));
  const seen = [keys(now)];
  for (const one of [feed("turn-started", "1-1", { streamId: "s~1", turnId: "a" }), ...stream(1, "a", ["x"])]) {
    now = conversation.told(now, one, 0);
    seen.push(keys(now));
  }
  seen.push(keys(conversation.loaded(now, session(), [turn("a")], 0)));
  assert.deepEqual(new Set(seen.map(String)), new Set(["a"]));
});

test("a part that came before it broke off stays on the screen", () => {
  const now = all(conversation.asked(here(), sent("a")), stream(1, "a", ["half"], "error"));
  assert.deepEqual([now.live?.text, now.live?.ended?.error?.message, now.sent], ["half", "It broke off.", null]);
});

test("an answer that is begun anew forgets its text and says so", () => {
  const [start, content] = stream(1, "a", ["wrong"]) as [News, News];
  const again = {
    event: "restart",
    id: "1-3",
    data: { sessionId: "s", streamId: "s~1", from: "x:1", to: "y:2", reason: "" },
  };
  const now = all(here(), [start, content, again]);
  assert.deepEqual([now.live?.text, now.live?.model, now.live?.notes], ["", "y:2", ["x:1 broke off, y:2 begins anew"]]);
});

test("a session that is deleted, or is not there, says so; a refused prompt is kept", () => {
  assert.equal(all(here([turn("a")]), [feed("deleted", "1-1")]).state, "deleted");
  assert.equal(all(conversation.empty("s"), [feed("error", "", { code: "SESSION_NOT_FOUND" })]).state, "gone");
  const now = conversation.refused(conversation.asked(here(), sent("a")), "a", { code: "X", message: "No." });
  assert.deepEqual([now.refused[0]?.prompt, conversation.isBusy(now)], ["asked a", false]);
});

test("names of the prototype are session text like any other", () => {
  const now = all(here(), [feed("__proto__", "1-1", { streamId: "constructor" }), feed("constructor", "", {})]);
  assert.deepEqual([now.live, now.state], [null, "here"]);
});
