import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { Growing, images } from "../markdown";
import type { Tools } from "../tools";
import { copyText } from "./copy";

interface Props {
  text: string;
  /** Whether more is to come. */
  growing: boolean;
  tools: Tools;
}

/** An answer's Markdown, block by block: what has not changed since the last frame is left alone. */
export function AnswerText({ text, growing, tools }: Props) {
  const blocks = useRef<Growing | null>(null);
  const shown = useMemo(() => {
    const made = (blocks.current ??= new Growing());
    return growing ? made.update(text) : made.whole(text);
  }, [text, growing]);
  return (
    <div class="warp-text">
      {shown.map((one) => (
        <Block key={one.key} html={one.html} tools={tools} />
      ))}
    </div>
  );
}

function Block({ html, tools }: { html: string; tools: Tools }) {
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const root = box.current;
    if (!root) return;
    root.innerHTML = html; // made safe by the renderer
    images(root);
    for (const pre of root.querySelectorAll("pre")) addActions(pre, tools);
  }, [html]);
  return <div class="warp-block" ref={box} />;
}

/** Beside a block of code: copy it, or put it into a cell. */
function addActions(pre: HTMLElement, tools: Tools): void {
  const code = (pre.textContent ?? "").replace(/\n$/, "");
  const bar = document.createElement("div");
  bar.className = "warp-code-actions";
  bar.append(action("Copy", (button) => void copyText(code, button)));
  if (tools.notebook) {
    bar.append(
      action("Insert below", (button) => {
        tools.notebook?.insertBelow(code);
        button.textContent = "Inserted";
        setTimeout(() => (button.textContent = "Insert below"), 1500);
      }),
    );
  }
  const frame = document.createElement("div");
  frame.className = "warp-code";
  pre.replaceWith(frame);
  pre.tabIndex = 0;
  frame.append(bar, pre);
}

function action(name: string, act: (button: HTMLButtonElement) => void): HTMLButtonElement {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "warp-code-action";
  button.textContent = name;
  if (name === "Insert below") button.title = "Insert into a new cell below";
  button.addEventListener("click", () => act(button));
  return button;
}
