import assert from "node:assert/strict";
import { test } from "node:test";
import { Comm, type Model } from "../src/gateway/comm";
import { type News, type Reader, Refused, Unreachable } from "../src/gateway/types";

interface Call {
  page: string;
  call: number;
  verb: string;
  args: Record<string, unknown>;
}

/** The kernel's end of a comm. */
class Kernel implements Model {
  readonly calls: Call[] = [];
  private heard: (message: object) => void = () => {};
  get = () => undefined;
  set = () => {};
  save_changes = () => {};
  off = () => {};
  send = (message: unknown) => void this.calls.push(message as Call);
  on = (_: string, callback: (...args: never[]) => void) => void (this.heard = callback as (message: object) => void);

  last(verb: string): Call {
    const found = this.calls.findLast((one) => one.verb === verb);
    assert.ok(found);
    return found;
  }
  reply({ page, call }: Call, status: number, body: unknown): void {
    this.heard({ page, reply: call, status, body });
  }
  tell({ page, call }: Call, seq: number, ...events: News[]): void {
    this.heard({ page, watch: call, seq, events });
  }
}

class Heard implements Reader {
  readonly said: string[] = [];
  caughtUp = () => void this.said.push("caught up");
  news = (one: News) => void this.said.push(`${one.event} ${one.id}`);
  lost = (why: string) => void this.said.push(`lost: ${why}`);
}

const watching: News = { event: "watching", id: "", data: {} };
const content = (id: string): News => ({
  event: "content",
  id,
  data: { sessionId: "s", streamId: "s~1", response: "x" },
});

test("a call is answered by its number, whatever order answers come in", async () => {
  const kernel = new Kernel();
  const comm = new Comm(kernel);
  const [models, session] = [comm.call("models", {}), comm.call("session", { sessionId: "s" })];
  kernel.reply(kernel.last("session"), 404, { code: "SESSION_NOT_FOUND", message: "There is none." });
  kernel.reply({ ...kernel.last("models"), page: "another page" }, 200, { models: ["theirs"] });
  kernel.reply(kernel.last("models"), 200, { models: [] });
  assert.deepEqual(await models, { models: [] });
  await assert.rejects(session, (error: Refused) => error.status === 404 && error.code === "SESSION_NOT_FOUND");
  comm.close();
});

test("a call that is not answered is said again, and in the end given up", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  const kernel = new Kernel();
  const comm = new Comm(kernel);
  const asked = comm.call("models", {});
  t.mock.timers.tick(10_000);
  assert.deepEqual(kernel.calls[1], kernel.calls[0]);
  t.mock.timers.tick(50_000);
  await assert.rejects(asked, Unreachable);
  comm.close();
});

test("news that was lost is asked for again from the last event that was seen", () => {
  const [kernel, heard] = [new Kernel(), new Heard()];
  const comm = new Comm(kernel);
  const leave = comm.watch("s", heard);
  const first = kernel.last("watch");
  kernel.tell(first, 1, watching);
  kernel.tell(first, 2, content("1-1"), content("1-2"));
  kernel.tell(first, 2, content("1-1"), content("1-2")); // heard before
  assert.deepEqual(heard.said, ["caught up", "content 1-1", "content 1-2"]);
  kernel.tell(first, 4, content("1-4"));
  const second = kernel.last("watch");
  assert.notEqual(second.call, first.call);
  assert.deepEqual(second.args, { sessionId: "s", after: { "s~1": "1-2" } });
  kernel.tell(first, 5, content("1-5")); // of a watch that is over
  kernel.tell(second, 1, watching);
  kernel.tell(second, 2, content("1-3"));
  assert.deepEqual(heard.said.slice(3), ["caught up", "content 1-3"]);
  kernel.tell(second, 3); // nothing new, but one was lost: its number says so
  assert.notEqual(kernel.last("watch").call, second.call);
  leave();
  assert.equal(kernel.calls.at(-1)?.verb, "unwatch");
  comm.close();
});

test("silence makes the page ask again", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  const kernel = new Kernel();
  const comm = new Comm(kernel);
  comm.watch("s", new Heard());
  const first = kernel.last("watch");
  kernel.reply(first, 200, {});
  t.mock.timers.tick(40_000);
  assert.notEqual(kernel.last("watch").call, first.call);
  comm.close();
});
