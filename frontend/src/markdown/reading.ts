import { getDefaults, Hooks, Lexer, Tokenizer } from "marked";
import type { Links, MarkedOptions, Token, Tokens } from "marked";
import { LONGEST_COLOURED } from "./code";
import { displayAt, displayStart, formulaAt, mathml, maskFormulas } from "./maths";
import type { Formula } from "./maths";

const DEEPEST = 30;
const LONGEST_HEADING = 2000;

// What may make a search run to the end of the text, once for each.
const MARKS = /[*_~[<`!\\$\n]/g;

const FORMULA_COST = 10_000;
const FORMULA_CHARACTER_COST = 500;
const CODE_CHARACTER_COST = 100;
const NESTED_CHARACTER_COST = 8;

/**
 * What one reading may cost, roughly in characters looked at. Well-formed text stays far below; hostile text would
 * take time that grows with the square of its length, or faster.
 */
class Effort {
  private left: number;

  constructor(length: number) {
    this.left = 20_000_000 + 50 * length;
  }

  affords(cost: number): boolean {
    if (cost > this.left) return false;
    this.left -= cost;
    return true;
  }
}

const blockMaths = {
  start: (src: string): number => displayStart(src),
  tokenizer(this: { lexer: Lexer }, src: string): Tokens.Generic | undefined {
    const found = displayAt(src);
    if (found === undefined) return undefined;
    const { raw, formula } = found;
    if (formula === undefined || !affordsFormula(this.lexer, formula)) {
      return { type: "prose", raw, text: raw, tokens: this.lexer.inline(raw) };
    }
    return { type: "display", raw, formula };
  },
};

const inlineMaths = {
  start: (src: string): number => src.indexOf("$"),
  tokenizer(this: { lexer: Lexer }, src: string, before: Token[]): Tokens.Generic | undefined {
    const formula = formulaAt(src, before.at(-1)?.raw.at(-1) ?? "");
    if (formula === undefined || !affordsFormula(this.lexer, formula)) return undefined;
    return { type: "formula", raw: formula.raw, formula };
  },
};

// Marked has a token for each of the two tags, and one for what is between, which nobody wants to read.
function inlineScript(src: string): Tokens.Generic | undefined {
  const raw = /^<(script|style)\b[^]*?<\/\1\s*>/i.exec(src)?.[0];
  return raw === undefined ? undefined : { type: "html", raw, text: raw };
}

/** Marked's settings: GitHub's dialect and maths. */
export const settings: MarkedOptions = {
  ...getDefaults(),
  extensions: {
    block: [blockMaths.tokenizer],
    startBlock: [blockMaths.start],
    inline: [inlineMaths.tokenizer, inlineScript],
    startInline: [inlineMaths.start],
    renderers: {
      prose(token) {
        return `<p>${this.parser.parseInline(token.tokens ?? [])}</p>\n`;
      },
      display: (token) => `<p>${mathml(token.formula as Formula)}</p>\n`,
      formula: (token) => mathml(token.formula as Formula),
    },
    childTokens: {},
  },
};

function affordsFormula(lexer: Lexer, { tex }: Formula): boolean {
  return (lexer as BoundedLexer).effort.affords(FORMULA_COST + FORMULA_CHARACTER_COST * tex.length);
}

class BoundedTokenizer extends Tokenizer {
  private get effort(): Effort {
    return (this.lexer as BoundedLexer).effort;
  }

  /** As Marked does it, which goes through all of a quote again for each line that continues it without a `>`. */
  override blockquote(src: string): Tokens.Blockquote | undefined {
    const raw = this.rules.block.blockquote.exec(src)?.[0];
    const lazy = raw?.match(/^(?! {0,3}>)/gm)?.length ?? 0;
    if (raw === undefined || this.effort.affords(lazy * raw.length)) return super.blockquote(src);
    return { type: "blockquote", raw, text: raw, tokens: [{ type: "text", raw, text: raw }] };
  }

  /** As Marked does it, but display maths interrupts a heading as it does a paragraph. */
  override lheading(src: string): Tokens.Heading | undefined {
    const maths = displayStart(src);
    return super.lheading(src.slice(0, maths < 0 ? LONGEST_HEADING : maths));
  }

  override fences(src: string): Tokens.Code | undefined {
    const code = super.fences(src);
    const colourable = code?.lang && code.text.length <= LONGEST_COLOURED;
    if (colourable && !this.effort.affords(CODE_CHARACTER_COST * code.text.length)) code.lang = "";
    return code;
  }
}

/** Marked's lexer, bounded: what is nested too deeply, or would cost too much, stays text. */
class BoundedLexer extends Lexer {
  readonly effort: Effort;
  private depth = 0;
  private run = "";

  constructor(length: number) {
    const hooks = new Hooks<string, string>();
    super({ ...settings, tokenizer: new BoundedTokenizer(), hooks });
    this.effort = new Effort(length);
    hooks.emStrongMask = (masked) => maskFormulas(this.run, masked);
  }

  override blockTokens<List extends Token[]>(src: string, tokens = [] as Token[] as List, clipped = false): List {
    const cost = this.depth > 0 ? NESTED_CHARACTER_COST * src.length : 0;
    return this.deeper(cost, src, tokens, () => super.blockTokens(src, tokens, clipped));
  }

  override inlineTokens(src: string, tokens: Token[] = []): Token[] {
    // A link left open in one paragraph would keep addresses in all that follow from being links.
    if (this.depth === 0) this.state.inLink = false;
    this.run = src;
    const marks = src.match(MARKS)?.length ?? 0;
    return this.deeper(marks * src.length, src, tokens, () => super.inlineTokens(src, tokens));
  }

  private deeper<List extends Token[]>(cost: number, src: string, tokens: List, read: () => void): List {
    if (this.depth >= DEEPEST || !this.effort.affords(cost)) {
      tokens.push({ type: "text", raw: src, text: src });
      return tokens;
    }
    this.depth++;
    try {
      read();
    } finally {
      this.depth--;
    }
    return tokens;
  }
}

/** The top-level tokens of `text`, whose lines end in line feeds; `links` are references defined before it. */
export function read(text: string, links: Links): Token[] {
  const lexer = new BoundedLexer(text.length);
  Object.assign(lexer.tokens.links, links);
  return lexer.lex(text);
}
