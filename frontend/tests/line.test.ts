import assert from "node:assert/strict";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { Line } from "../src/gateway/line";
import type { News, Reader } from "../src/gateway/types";

/** A server that holds what it is asked, as GET events does. */
const asked: { query: URLSearchParams; answer: ServerResponse }[] = [];
const server = createServer((request, answer) => {
  answer.writeHead(200, { "Content-Type": "text/event-stream" });
  asked.push({ query: new URL(request.url ?? "", "http://x").searchParams, answer });
});
const page = Object.assign(new EventTarget(), { hidden: false });
let base = "";

before(async () => {
  Object.assign(globalThis, { document: page, addEventListener: () => {} });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/warp/`;
});
after(() => {
  server.closeAllConnections();
  server.close();
});

class Heard implements Reader {
  readonly said: string[] = [];
  caughtUp = () => void this.said.push("caught up");
  news = (one: News) => void this.said.push(`${one.event} ${one.id}`);
  lost = () => void this.said.push("lost");
}

async function until<T>(look: () => T | undefined | false): Promise<T> {
  for (let tries = 0; tries < 500; tries++) {
    const found = look();
    if (found) return found;
    await new Promise((done) => setTimeout(done, 10));
  }
  throw new Error("not seen in time");
}

const newest = (count: number) => until(() => asked.length >= count && asked[count - 1]);
const event = (name: string, id: string, data: object) =>
  `id: ${id}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

test("all sessions of a page are heard of over one connection, and a broken one is gone on with", async () => {
  const line = new Line({ base, headers: () => ({}) });
  const [a, b] = [new Heard(), new Heard()];
  const leaving = [line.add("a", a), line.add("b", b)];
  const first = await newest(1);
  assert.deepEqual(first.query.getAll("session"), ["a", "b"]);
  first.answer.write(": ping\n\n");
  first.answer.write(event("content", "3-7", { sessionId: "a", streamId: "a~3", response: "x" }));
  first.answer.write(event("updated", "99-1", { sessionId: "b" }));
  await until(() => b.said.length === 2);
  assert.deepEqual(
    [a.said, b.said],
    [
      ["caught up", "content 3-7"],
      ["caught up", "updated 99-1"],
    ],
  );
  first.answer.end();
  const second = await newest(2);
  assert.deepEqual(second.query.getAll("after"), ["a~3:3-7"]);
  second.answer.write(": ping\n\n");
  await until(() => a.said.at(-1) === "caught up" && b.said.at(-1) === "caught up");

  // Who comes to an answer that is being told hears it from its beginning; who comes to a quiet session, at once.
  const [late, quiet] = [new Heard(), new Heard()];
  leaving.push(line.add("b", quiet));
  await until(() => quiet.said.length);
  assert.equal(asked.length, 2);
  second.answer.write(event("content", "3-8", { sessionId: "a", streamId: "a~3", response: "y" }));
  await until(() => a.said.at(-1) === "content 3-8");
  leaving.push(line.add("a", late));
  const third = await newest(3);
  assert.deepEqual(third.query.getAll("after"), []);

  // A session that is gone is asked for no more.
  third.answer.write(": ping\n\n" + event("deleted", "100-1", { sessionId: "b" }));
  await until(() => quiet.said.at(-1) === "deleted 100-1");
  third.answer.end();
  const fourth = await newest(4);
  assert.deepEqual(fourth.query.getAll("session"), ["a"]);

  // A hidden page lets go at once where nobody looks for a while, and comes back when it is seen.
  page.hidden = true;
  page.dispatchEvent(new Event("visibilitychange"));
  await until(() => fourth.answer.destroyed || fourth.answer.socket?.destroyed);
  page.hidden = false;
  page.dispatchEvent(new Event("visibilitychange"));
  (await newest(5)).answer.write(": ping\n\n");
  await until(() => late.said.at(-1) === "caught up");
  for (const leave of leaving) leave();
});
