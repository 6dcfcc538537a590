import type { Links } from "marked";
import { definitions } from "./parts";
import { defaultRenderer } from "./render";
import type { Piece, Renderer } from "./render";
import { unixLines } from "./text";

/** A block of an answer; its `key` is its place. The same object is given again as long as its HTML is the same. */
export interface Block {
  readonly key: number;
  readonly html: string;
}

// A longer tail is not read for each word that comes, but when it has grown by a sixteenth.
const LONG_TAIL = 4000;

/** An answer that is being written: reads of the text only what can still change. */
export class Growing {
  private text = "";
  private read = 0;
  private settled = 0;
  private links: Links = {};
  private frozen: readonly string[] = [];
  private blocks: readonly Block[] = [];

  constructor(private readonly renderer: Renderer = defaultRenderer()) {}

  /** The blocks of `text`, all there is so far. It begins with the text given before, unless the answer began anew. */
  update(text: string): readonly Block[] {
    const lines = unixLines(text);
    if (!lines.startsWith(this.text)) this.restart();
    this.text = lines;
    if (!this.isDue()) return this.blocks;
    this.read = lines.length;
    const pieces = this.renderer.pieces(lines.slice(this.settled), this.links);
    const before = this.frozen;
    this.freeze(pieces);
    return this.show([...before, ...pieces.map((piece) => piece.html)]);
  }

  /** The blocks of `text`, which is complete; together they are what `render` gives. */
  whole(text: string): readonly Block[] {
    this.restart();
    this.text = unixLines(text);
    this.read = this.text.length;
    return this.show(this.renderer.pieces(this.text).map((piece) => piece.html));
  }

  private restart(): void {
    this.read = this.settled = 0;
    this.links = {};
    this.frozen = [];
  }

  private isDue(): boolean {
    const tail = this.text.length - this.settled;
    return this.read === 0 || tail < LONG_TAIL || (this.text.length - this.read) * 16 >= tail;
  }

  /** Pieces end at blank lines, so one is settled when the next one's first line, which could continue it, is whole. */
  private freeze(pieces: readonly Piece[]): void {
    const last = pieces.at(-1)?.raw.includes("\n") ? 1 : 2;
    const done = pieces.slice(0, -last);
    const length = done.reduce((sum, piece) => sum + piece.raw.length, 0);
    if (done.map((piece) => piece.raw).join("") !== this.text.slice(this.settled, this.settled + length)) return;
    this.settled += length;
    this.links = definitions(done, this.links);
    this.frozen = [...this.frozen, ...done.map((piece) => piece.html)];
  }

  private show(htmls: readonly string[]): readonly Block[] {
    const shown = this.blocks;
    this.blocks = htmls.map((html, key) => (shown[key]?.html === html ? shown[key] : { key, html }));
    return this.blocks;
  }
}
