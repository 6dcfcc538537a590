import type { Turn } from "./gateway/types";
import { render } from "./markdown";
import { counted, listed } from "./words";

const MOST = 1_000_000;
const FAINT = "color: var(--jp-ui-font-color2, var(--vscode-descriptionForeground, GrayText)); margin: 4px 0";
const VIEW =
  "font-size: 14px; line-height: 1.5; color: var(--jp-ui-font-color1, var(--vscode-foreground, CanvasText)); overflow-x: auto";
const TURN =
  "border-top: 1px solid var(--jp-border-color2, var(--vscode-panel-border, GrayText)); padding: 8px 0; max-width: 88ch";
const PROMPT = "font-weight: 600; white-space: pre-wrap; overflow-wrap: break-word; margin: 0 0 8px 0";
// Where no widget lives the output behind this one says that there is none.
const SHEET =
  "<style>.jp-OutputArea-child:has(.warp-saved) + .jp-OutputArea-child:not(:has(.warp-panel)) { display: none; }</style>";

/** The conversation as HTML that needs no panel, for who opens the notebook without a kernel; the newest turns that fit. */
export function savedHtml(turns: readonly Turn[], total: number): string {
  const parts: string[] = [];
  let size = 0;
  for (const turn of [...turns].reverse()) {
    const part = savedTurn(turn);
    size += part.length;
    if (size > MOST) break;
    parts.unshift(part);
  }
  const left = total - parts.length;
  const note =
    left > 0 ? `<div style="${FAINT}">${counted(left, "earlier turn")} left out here; the session has them.</div>` : "";
  return `${SHEET}<div class="warp-view warp-saved" style="${VIEW}">${note}${parts.join("")}</div>`;
}

function savedTurn(turn: Turn): string {
  const told = [`<div style="${PROMPT}">${escaped(turn.prompt)}</div>`];
  const names = turn.attachments.map((one) => one.name || one.kind);
  if (names.length) told.push(`<div style="${FAINT}">With ${escaped(listed(names))}</div>`);
  if (turn.model) told.push(`<div style="${FAINT}">${escaped(turn.model)}</div>`);
  if (turn.response) told.push(render(turn.response));
  if (turn.status !== "complete")
    told.push(`<div style="${FAINT}">${turn.status}: ${escaped(turn.error?.message ?? "")}</div>`);
  return `<div style="${TURN}">${told.join("")}</div>`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (one) => `&#${one.charCodeAt(0)};`);
}
