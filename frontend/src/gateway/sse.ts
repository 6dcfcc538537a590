import type { News } from "./types";

/** Reads server-sent events of this gateway as they arrive: `data` is one line of JSON, comments keep the line open. */
export class SseReader {
  private rest = "";

  /** The events that `chunk` completes; a comment is an event without a name. */
  read(chunk: string): News[] {
    const parts = (this.rest + chunk).split("\n\n");
    this.rest = parts.pop() ?? "";
    return parts.map(parsed);
  }
}

function parsed(text: string): News {
  const news: News = { event: "", id: "", data: {} };
  for (const line of text.split("\n")) {
    const [field, value] = split(line);
    if (field === "event") news.event = value;
    else if (field === "id") news.id = value;
    else if (field === "data") news.data = JSON.parse(value) as Record<string, unknown>;
  }
  return news;
}

function split(line: string): [string, string] {
  const at = line.indexOf(":");
  return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1).replace(/^ /, "")];
}
