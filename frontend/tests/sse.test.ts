import assert from "node:assert/strict";
import { test } from "node:test";
import { SseReader } from "../src/gateway/sse";

const TEXT = ': ping\n\nevent: content\nid: 3-1\ndata: {"response":"a: b\\n\\nc"}\n\nevent: end\ndata: {}\n\n';

test("events are read wherever the chunks are cut", () => {
  const whole = new SseReader().read(TEXT);
  assert.deepEqual(whole[1], { event: "content", id: "3-1", data: { response: "a: b\n\nc" } });
  assert.equal(whole[0]?.event, "");
  for (let size = 1; size < TEXT.length; size++) {
    const reader = new SseReader();
    const read = [];
    for (let at = 0; at < TEXT.length; at += size) read.push(...reader.read(TEXT.slice(at, at + size)));
    assert.deepEqual(read, whole);
  }
});
