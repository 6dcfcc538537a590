import { useEffect, useLayoutEffect, useReducer, useRef, useState } from "preact/hooks";
import { type Conversation, isBusy } from "../conversation";
import type { Draft } from "../drafts";
import { items } from "../items";
import { type Tools, setTrait } from "../tools";
import { Composer, type Proposal } from "./composer";
import { download } from "./download";
import { Empty } from "./empty";
import { Head } from "./head";
import { Sessions } from "./sessions";
import { Talk } from "./talk";
import { TurnView } from "./turn";

const WIDE_PX = 720;

/** A chat on one session. */
export function Panel({ tools, root }: { tools: Tools; root: HTMLElement }) {
  const { chat, gateway, model: widget } = tools;
  const { conversation: now, window, models, lost, trouble } = useView(tools);
  const [model, disabled] = [useTrait(tools, "model") as string, useTrait(tools, "disabled") as boolean];
  const [listOpen, setListOpen] = useState(false);
  const [proposed, setProposed] = useState<Proposal | null>(null);
  const [dropped, setDropped] = useState<File[] | null>(null);
  const isWide = useWidth(root) >= WIDE_PX;
  const { sessionId } = now;

  const open = (to: string) => {
    setTrait(widget, "session", to);
    if (!isWide) setListOpen(false);
  };
  const begin = () => void chat.attempt(async () => open((await gateway.call("create", {})).sessionId));
  const fork = (from: string, at?: string) =>
    void chat.attempt(async () => open((await gateway.call("fork", { sessionId: from, ...(at && { at }) })).sessionId));
  const remove = (one: string) => gateway.call("delete", { sessionId: one });
  const asked = model ? [model] : [];

  const shown = items(now);
  const busy = isBusy(now);
  const free = !busy && !disabled && !lost;
  const notice = noticeOf(now, lost, disabled);
  const isEmpty = !shown.length && (now.state === "here" || now.state === "gone");
  return (
    <section
      class={`warp-panel${isWide ? " warp-wide" : ""}`}
      aria-label="Chat"
      onDragOver={(event) => holdsFiles(event) && event.preventDefault()}
      onDrop={(event) => {
        if (!holdsFiles(event)) return;
        event.preventDefault();
        if (!disabled) setDropped([...(event.dataTransfer?.files ?? [])]);
      }}
    >
      <Head
        sessionId={sessionId}
        session={now.session}
        models={models}
        model={model}
        disabled={disabled}
        listOpen={listOpen}
        onList={() => setListOpen(!listOpen)}
        onModel={(to) => setTrait(widget, "model", to)}
        onLookAtModels={() => void chat.loadModels()}
        onRename={(title) => void chat.attempt(() => gateway.call("update", { sessionId, title }))}
        onNew={begin}
        onFork={() => fork(sessionId)}
        onExport={(format) =>
          void chat.attempt(async () => download(await gateway.call("export", { sessionId, format })))
        }
        onDelete={() => void chat.attempt(() => remove(sessionId))}
      />
      {(notice || trouble) && (
        <p class="warp-notice" role="status">
          {notice || trouble}
          {now.state === "deleted" && !disabled && (
            <button type="button" class="warp-labelled" onClick={begin}>
              New conversation
            </button>
          )}
        </p>
      )}
      <div class="warp-body">
        {listOpen && (
          <Sessions
            gateway={gateway}
            current={sessionId}
            version={`${now.session?.updatedAt} ${now.session?.title}`}
            disabled={disabled}
            onOpen={open}
            onNew={begin}
            onClose={() => setListOpen(false)}
            onFork={fork}
            onDelete={remove}
          />
        )}
        <div class="warp-main">
          <Talk of={sessionId} version={chat.view} sent={now.sent?.key} busy={busy} first={shown[0]?.key}>
            {now.session && now.session.turns > now.turns.length && now.turns.length >= window && (
              <button type="button" class="warp-labelled" onClick={() => chat.showEarlier()}>
                Show earlier
              </button>
            )}
            {now.state === "new" && !lost && <p class="warp-quiet">Loading the conversation…</p>}
            {isEmpty && <Empty tools={tools} disabled={disabled} onPropose={(one) => setProposed({ ...one })} />}
            {shown.map((item) => (
              <TurnView
                key={item.key}
                item={item}
                tools={tools}
                isLast={item.key === now.turns.at(-1)?.turnId}
                free={free}
                models={asked}
                others={models.map((one) => one.model)}
                onFork={(turnId) => fork(sessionId, turnId)}
              />
            ))}
          </Talk>
          <Composer
            key={sessionId}
            tools={tools}
            sessionId={sessionId}
            loaded={now.state !== "new"}
            heard={(key) => [now.live?.turnId, ...now.turns.map((one) => one.turnId)].includes(key)}
            busy={busy}
            disabled={disabled}
            hindered={hindranceOf(now, lost)}
            lastPrompt={shown.at(-1)?.prompt ?? ""}
            proposed={proposed}
            dropped={dropped}
            onSend={(draft) => {
              if (isBusy(chat.view.conversation)) return false; // since this was drawn
              void chat.ask({ ...pick(draft), models: asked });
              return true;
            }}
          />
        </div>
      </div>
    </section>
  );
}

function pick({ text, attachments, key }: Draft) {
  return { prompt: text, attachments, ...(key && { key }) };
}

function holdsFiles(event: DragEvent): boolean {
  return event.dataTransfer?.types.includes("Files") ?? false;
}

function hindranceOf(now: Conversation, lost: string | null): string {
  if (lost) return "Not connected.";
  return now.state === "deleted" ? "This conversation was deleted." : "";
}

/** The one line that says what is not as it should be, and what to do. */
function noticeOf(now: Conversation, lost: string | null, disabled: boolean): string {
  if (lost) return `${lost} What is shown may be old.`;
  if (now.state === "deleted") return "This conversation was deleted.";
  if (now.state === "gone" && now.turns.length)
    return "This conversation has expired. Your next prompt begins it anew.";
  if (disabled) return "This panel is for reading: its notebook has disabled it.";
  return "";
}

function useView({ chat }: Tools) {
  const [, draw] = useReducer((number: number) => number + 1, 0);
  useLayoutEffect(() => {
    const leave = chat.onChange(() => draw(undefined));
    draw(undefined); // what has come before
    return () => void leave();
  }, [chat]);
  return chat.view;
}

function useTrait({ model }: Tools, name: string): unknown {
  const [, draw] = useReducer((number: number) => number + 1, 0);
  useEffect(() => {
    const changed = () => draw(undefined);
    model.on(`change:${name}`, changed);
    return () => model.off(`change:${name}`, changed);
  }, [model, name]);
  return model.get(name);
}

function useWidth(root: HTMLElement): number {
  const [width, setWidth] = useState(root.clientWidth);
  const last = useRef(width);
  useEffect(() => {
    const sized = new ResizeObserver(() => {
      const now = root.clientWidth;
      if (now !== last.current) setWidth((last.current = now));
    });
    sized.observe(root);
    return () => sized.disconnect();
  }, [root]);
  return width;
}
