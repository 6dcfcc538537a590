import assert from "node:assert/strict";
import { test } from "node:test";
import type { Attempt, ModelState } from "../src/gateway/types";
import { ago, pieces, routeLine, stateOf, waiting } from "../src/words";
import { turn } from "./kit";

const model = (name: string, more: Partial<ModelState> = {}): ModelState => ({
  model: name,
  alias: null,
  inChain: true,
  state: "ready",
  ...more,
});
const attempt = (name: string, more: Partial<Attempt> = {}): Attempt => ({
  model: name,
  outcome: "ok",
  seconds: 0.1,
  ...more,
});
const line = (more: Parameters<typeof turn>[1]) =>
  routeLine(turn("a", more))
    .map((one) => one.text)
    .join(" · ");

test("the route line is that of the cells", () => {
  const usage = { inputTokens: 812, outputTokens: 143, cachedTokens: 0, reasoningTokens: 0 };
  const route = [
    attempt("openai:gpt", { outcome: "PROVIDER_RATE_LIMIT_ERROR", status: 429, restoresIn: 38 }),
    attempt("lab:ok"),
  ];
  const told = line({ route, usage, cost: 0.0003, firstToken: 0.41 });
  assert.equal(
    told,
    "lab:ok · fell back from openai:gpt (429, back in 38 s) · first token 0.4 s · 812+143 tok · $0.0003",
  );
  assert.deepEqual(
    routeLine(turn("a", { route })).map((one) => one.warns),
    [false, true],
  );
  assert.equal(line({ result: "INCOMPLETE_STOPPED", model: null }), "stopped");
  assert.equal(line({ route: [attempt("lab:ok", { outcome: "X" }), attempt("lab:ok")] }), "lab:ok · answered at try 2");
});

test("who is waited for is the first that is asked", () => {
  const models = [
    model("a:1", { state: "cooling", reason: "429", restoresIn: 38 }),
    model("b:2"),
    model("c:3", { inChain: false }),
  ];
  assert.deepEqual(waiting([], models), { model: "b:2", passed: "a:1 did not answer (429), asking b:2" });
  assert.deepEqual(waiting(["c:3"], models), { model: "c:3", passed: null });
  assert.deepEqual(waiting([], []), { model: "the model", passed: null });
  assert.equal(stateOf(models[0]!), "429, back in 38 s");
});

test("a prompt's code is code, as typed", () => {
  assert.deepEqual(pieces("Why?\n```python\nx = 1\n```\nAnd `y`?"), [
    { text: "Why?\n", code: false },
    { text: "x = 1\n", code: true },
    { text: "And `y`?", code: false },
  ]);
});

test("times are told as one says them", () => {
  const now = Date.parse("2026-01-31T12:00:00Z");
  const told = [30, 90, 7_200, 200_000, 9_000_000].map((seconds) => ago(now - seconds * 1000, now));
  assert.deepEqual(told, ["just now", "1 min ago", "2 h ago", "2 d ago", "2025-10-19"]);
});
