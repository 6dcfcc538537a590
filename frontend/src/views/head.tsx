import { useRef, useState } from "preact/hooks";
import type { ModelState, Session } from "../gateway/types";
import { stateOf } from "../words";
import { Floating, MenuItem } from "./floating";
import { IconButton } from "./icons";

export interface HeadProps {
  sessionId: string;
  session: Session | null;
  models: readonly ModelState[];
  model: string;
  disabled: boolean;
  listOpen: boolean;
  onList: () => void;
  onModel: (model: string) => void;
  onLookAtModels: () => void;
  onRename: (title: string) => void;
  onNew: () => void;
  onFork: () => void;
  onExport: (format: "json" | "md" | "ipynb") => void;
  onDelete: () => void;
}

/** The panel's head: sessions, the title, the model, a menu. */
export function Head(props: HeadProps) {
  const [menu, setMenu] = useState<"" | "menu" | "delete">("");
  const close = () => setMenu("");
  const then = (act: () => void) => () => {
    close();
    act();
  };
  return (
    <header class="warp-head">
      <IconButton icon="list" name="Conversations" expanded={props.listOpen} onClick={props.onList} />
      <Title key={props.sessionId} {...props} />
      <ModelPicker {...props} />
      <div class="warp-anchor">
        <IconButton
          icon="more"
          name="More"
          popup="menu"
          expanded={menu !== ""}
          onClick={() => setMenu(menu ? "" : "menu")}
        />
        {menu === "menu" && (
          <Floating label="Conversation" onClose={close} kind="right">
            {!props.disabled && <MenuItem onClick={then(props.onNew)}>New conversation</MenuItem>}
            {!props.disabled && <MenuItem onClick={then(props.onFork)}>Fork</MenuItem>}
            <MenuItem onClick={then(() => props.onExport("md"))}>Export as Markdown</MenuItem>
            <MenuItem onClick={then(() => props.onExport("ipynb"))}>Export as a notebook</MenuItem>
            <MenuItem onClick={then(() => props.onExport("json"))}>Export as JSON</MenuItem>
            {!props.disabled && (
              <MenuItem danger onClick={() => setMenu("delete")}>
                Delete…
              </MenuItem>
            )}
          </Floating>
        )}
        {menu === "delete" && (
          <Floating label="Delete this conversation?" role="dialog" onClose={close} kind="right">
            <p>Delete this conversation with all its branches?</p>
            <div class="warp-row">
              <button type="button" class="warp-labelled" onClick={close}>
                Keep it
              </button>
              <button type="button" class="warp-labelled warp-danger" onClick={then(props.onDelete)}>
                Delete
              </button>
            </div>
          </Floating>
        )}
      </div>
    </header>
  );
}

function Title({ sessionId, session, disabled, onRename }: HeadProps) {
  const [editing, setEditing] = useState<string | null>(null);
  const isOver = useRef(false);
  const title = session?.title || sessionId;
  const begin = () => {
    isOver.current = false;
    setEditing(title);
  };
  if (editing === null) {
    return (
      <button type="button" class="warp-title" title={`${title} · rename`} disabled={disabled} onClick={begin}>
        {title}
      </button>
    );
  }
  // Leaving the field is one end of it, and comes also after another.
  const done = (text: string | null) => {
    if (isOver.current) return;
    isOver.current = true;
    setEditing(null);
    if (text !== null && text.trim() && text !== title) onRename(text.trim());
  };
  return (
    <input
      class="warp-title"
      aria-label="Title"
      value={editing}
      ref={selectOnce}
      onInput={(event) => setEditing(event.currentTarget.value)}
      onBlur={() => done(editing)}
      onKeyDown={(event) => {
        if (event.key === "Enter" && !event.isComposing) done(editing);
        if (event.key === "Escape") done(null);
      }}
    />
  );
}

function ModelPicker({ models, model, disabled, onModel, onLookAtModels }: HeadProps) {
  const chosen = models.find((one) => one.model === model || one.alias === model);
  const chain = models.find((one) => one.inChain);
  const first = chosen ?? chain;
  const state = first?.state ?? "ready";
  const isKnown = !model || chosen !== undefined;
  return (
    <label class="warp-models">
      <span
        class={`warp-dot warp-${state}`}
        title={first ? `${first.model}: ${stateOf(first)}` : undefined}
        aria-hidden="true"
      />
      <select
        aria-label="Model"
        value={chosen?.model ?? model}
        disabled={disabled}
        onFocus={onLookAtModels}
        onChange={(event) => onModel(event.currentTarget.value)}
      >
        <option value="">{chain ? `as configured: ${chain.model}` : "as configured"}</option>
        {!isKnown && <option value={model}>{model}</option>}
        {models.map((one) => (
          <option key={one.model} value={one.model}>
            {one.alias ? `${one.alias} = ${one.model}` : one.model}
            {one.state === "ready" ? "" : ` · ${stateOf(one)}`}
          </option>
        ))}
      </select>
    </label>
  );
}

function selectOnce(input: HTMLInputElement | null): void {
  if (input && (input.getRootNode() as Document).activeElement !== input) input.select();
}
