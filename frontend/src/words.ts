import type { Answer, Attempt, ModelState, Turn } from "./gateway/types";

/** A part of a line, and whether it tells of something that went wrong. */
export interface Part {
  text: string;
  warns: boolean;
}

const ENDINGS: Readonly<Record<string, string>> = {
  INCOMPLETE_MAX_TOKENS: "cut off: it has as many tokens as it may",
  INCOMPLETE_STOPPED: "stopped",
  INCOMPLETE_FILTERED: "withheld by the provider's filter",
  INCOMPLETE_UNKNOWN: "not known to be whole",
};

/** The route line: who answered, after whom, how fast, for how much; as the cells have it. */
export function routeLine(said: Turn | Answer): Part[] {
  const warnings = "warnings" in said ? said.warnings : [];
  const parts: Part[] = said.model ? [plain(said.model)] : [];
  const failed = said.route.filter((one) => !["ok", "cache", "stopped"].includes(one.outcome));
  const others = new Map(failed.filter((one) => one.model !== said.model).map((one) => [one.model, one]));
  const tries = failed.filter((one) => one.model === said.model).length;
  const last = said.route.at(-1)?.outcome;
  if (others.size) parts.push(warns(`fell back from ${listed([...others.values()].map(failure))}`));
  if (tries && last === "ok") parts.push(warns(`answered at try ${tries + 1}`));
  if (last === "cache") parts.push(plain("from the cache"));
  if (typeof said.firstToken === "number") parts.push(plain(`first token ${said.firstToken.toFixed(1)} s`));
  const { inputTokens, outputTokens } = said.usage;
  if (inputTokens || outputTokens) parts.push(plain(`${inputTokens}+${outputTokens} tok`));
  if (said.cost !== null) parts.push(plain(dollars(said.cost)));
  const ending = ENDINGS[said.result];
  if (ending) parts.push(warns(ending));
  return [...parts, ...warnings.map(warns)];
}

const plain = (text: string): Part => ({ text, warns: false });
const warns = (text: string): Part => ({ text, warns: true });

function failure(one: Attempt): string {
  const code = ["cooling", "probing"].includes(one.outcome) && one.reason ? one.reason : one.outcome;
  const why = one.status ? String(one.status) : brief(code);
  return `${one.model} (${one.restoresIn ? `${why}, ${backIn(one.restoresIn)}` : why})`;
}

/** A code as words. */
export function brief(code: string): string {
  return code
    .replace(/^PROVIDER_/, "")
    .replaceAll("_", " ")
    .toLowerCase();
}

export function backIn(seconds: number): string {
  return seconds >= 0.5 ? `back in ${duration(seconds)}` : "about to be tried again";
}

export function duration(seconds: number): string {
  if (seconds < 100) return `${seconds.toFixed(0)} s`;
  return seconds < 6000 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(0)} h`;
}

export function dollars(cost: number): string {
  return cost > 0 && cost < 0.0001 ? "<$0.0001" : `$${cost.toFixed(4)}`;
}

export function listed(words: string[]): string {
  return words.length > 1 ? `${words.slice(0, -1).join(", ")} and ${words.at(-1)}` : (words[0] ?? "");
}

export function counted(count: number, what: string): string {
  return `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
}

/** How long ago a moment was, both in milliseconds. */
export function ago(then: number, now: number): string {
  const minutes = Math.max(0, (now - then) / 60_000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${Math.floor(minutes)} min ago`;
  if (minutes < 60 * 24) return `${Math.floor(minutes / 60)} h ago`;
  return minutes < 60 * 24 * 30 ? `${Math.floor(minutes / 60 / 24)} d ago` : new Date(then).toLocaleDateString("en-CA");
}

/** A model's state in words. */
export function stateOf(one: ModelState): string {
  if (one.state === "ready") return "ready";
  const why = one.reason ? `${brief(one.reason)}, ` : "";
  return one.state === "probing" ? `${why}being tried again` : `${why}${backIn(one.restoresIn ?? 0)}`;
}

/** Who is being waited for, and who of those before has not answered; of the models that are asked in this order. */
export function waiting(asked: string[], models: readonly ModelState[]): { model: string; passed: string | null } {
  const known = (spec: string) => models.find((one) => one.model === spec || one.alias === spec);
  const chain = asked.length ? asked : models.filter((one) => one.inChain).map((one) => one.model);
  const first = chain.findIndex((one) => (known(one)?.state ?? "ready") === "ready");
  const model = chain[Math.max(0, first)] ?? "the model";
  const out = first > 0 ? known(chain[first - 1] ?? "") : undefined;
  return {
    model,
    passed: out ? `${out.model} did not answer (${brief(out.reason ?? "failed")}), asking ${model}` : null,
  };
}

/** A prompt as it was typed, in pieces: what stands between fences is code. */
export function pieces(typed: string): { text: string; code: boolean }[] {
  const parts = typed.split(/^ {0,3}```[^\n]*\n?/m);
  return parts.map((text, at) => ({ text, code: at % 2 === 1 })).filter((one) => one.text.trim());
}
