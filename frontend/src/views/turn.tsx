import { useEffect, useState } from "preact/hooks";
import type { Item } from "../items";
import type { Tools } from "../tools";
import { brief, pieces, waiting } from "../words";
import { AnswerText } from "./answer";
import { copyText } from "./copy";
import { Editor } from "./editor";
import { IconButton } from "./icons";

/** After so long without a word it is said who is waited for. */
const PATIENCE_MS = 3_000;
const LOOK_MS = 3_000;

interface Props {
  item: Item;
  tools: Tools;
  isLast: boolean;
  /** Whether something can be asked at this moment. */
  free: boolean;
  /** Whom prompts ask; empty: as configured. */
  models: string[];
  /** All who could be asked. */
  others: string[];
  onFork: (turnId: string) => void;
}

/** A prompt and what has come of it. */
export function TurnView(props: Props) {
  const { item, tools, free, models } = props;
  const [editing, setEditing] = useState(false);
  const edited = (prompt: string) => {
    if (!free || !item.turn || !prompt.trim()) return;
    setEditing(false);
    void tools.chat.again({ ...item.turn, prompt }, models);
  };
  return (
    <article class="warp-turn" aria-busy={item.growing}>
      {editing ? (
        <Editor text={item.prompt} free={free} onDone={edited} onCancel={() => setEditing(false)} />
      ) : (
        <Prompt item={item} onEdit={free && item.turn ? () => setEditing(true) : null} />
      )}
      <div class="warp-answer">
        {!item.refused && <Answer {...props} />}
        {item.failure && <Trouble {...item.failure} />}
        <Route item={item} />
        <div class={`warp-actions${item.refused ? " warp-shown" : ""}`}>
          {item.refused ? <RefusedActions {...props} /> : item.turn && <TurnActions {...props} />}
        </div>
      </div>
    </article>
  );
}

function Answer({ item, tools }: Props) {
  const { late, expected } = useWaiting(item, tools);
  const model = item.model || expected.model;
  const notes = late && expected.passed && !item.model ? [expected.passed, ...item.notes] : item.notes;
  return (
    <>
      <div class="warp-model">{model}</div>
      {notes.map((one) => (
        <p class="warp-quiet warp-warns" key={one}>
          {one}
        </p>
      ))}
      {item.text && <AnswerText text={item.text} growing={item.growing} tools={tools} />}
      {item.waiting && (
        <p class="warp-quiet">
          <span class="warp-caret" aria-hidden="true" />
          {late && `waiting for ${model}`}
        </p>
      )}
      {item.tools.map((name, at) => (
        <p class="warp-quiet" key={at}>
          Asks for <code>{name}</code>
        </p>
      ))}
    </>
  );
}

function TurnActions({ item, tools: { chat }, isLast, free, models, onFork }: Props) {
  const turn = item.turn!;
  const cutShort = ["stopped", "interrupted"].includes(turn.status) || turn.result === "INCOMPLETE_MAX_TOKENS";
  const again = turn.status === "failed" ? { name: "Try again", label: "Try again" } : { name: "Ask again" };
  return (
    <>
      {free && isLast && cutShort && (
        <IconButton
          icon="forward"
          name="Continue this answer"
          label="Continue"
          onClick={() => void chat.goOn(turn, models)}
        />
      )}
      {free && <IconButton icon="again" {...again} onClick={() => void chat.again(turn, models)} />}
      {turn.response && <CopyButton name="Copy answer" text={turn.response} />}
      {free && <IconButton icon="fork" name="Fork the conversation here" onClick={() => onFork(turn.turnId)} />}
    </>
  );
}

function RefusedActions({ item, tools: { chat }, free, models, others }: Props) {
  const refused = item.refused!;
  const asked = models.length ? models : refused.models;
  const other = others.find((one) => !asked.includes(one));
  return (
    <>
      {free && (
        <IconButton icon="again" name="Try again" label="Try again" onClick={() => void chat.retry(refused, models)} />
      )}
      {free && other && (
        <IconButton
          icon="again"
          name={`Ask ${other}`}
          label={`Ask ${other}`}
          onClick={() => void chat.retry(refused, [other])}
        />
      )}
      <CopyButton name="Copy prompt" text={refused.prompt} />
      <IconButton icon="close" name="Forget this prompt" onClick={() => chat.forget(refused.key)} />
    </>
  );
}

function Prompt({ item, onEdit }: { item: Item; onEdit: (() => void) | null }) {
  return (
    <div class="warp-asked">
      <div class="warp-prompt">
        {pieces(item.prompt).map((one, at) =>
          one.code ? <pre key={at}>{one.text}</pre> : <p key={at}>{one.text.trim()}</p>,
        )}
        {item.attachments.length > 0 && (
          <ul class="warp-chips" aria-label="Attachments">
            {item.attachments.map((one, at) => (
              <li class="warp-chip" key={at}>
                {one.name || one.kind}
              </li>
            ))}
          </ul>
        )}
      </div>
      {item.turn && (
        <div class="warp-actions">
          {item.source && <span class="warp-quiet">{item.source}</span>}
          {onEdit && <IconButton icon="edit" name="Edit and ask again" onClick={onEdit} />}
          <CopyButton name="Copy prompt" text={item.prompt} />
        </div>
      )}
    </div>
  );
}

function CopyButton({ name, text }: { name: string; text: string }) {
  const copy = (event: MouseEvent) => void copyText(text, event.currentTarget as HTMLElement);
  return <IconButton icon="copy" name={name} onClick={copy} />;
}

function Trouble({ code, message }: { code: string; message: string }) {
  return (
    <p class="warp-trouble" title={code}>
      {message || brief(code)}
    </p>
  );
}

function Route({ item: { route } }: { item: Item }) {
  if (!route.length) return null;
  return (
    <div class="warp-route" title={route.map((one) => one.text).join(" · ")} tabIndex={0}>
      {route.map((one, at) => (
        <span key={at} class={one.warns ? "warp-warns" : undefined}>
          {at > 0 && " · "}
          {one.text}
        </span>
      ))}
    </div>
  );
}

/** Who is waited for, and whether that has taken long by now; then it is looked now and again who can be asked. */
function useWaiting({ waiting: waits }: Item, { chat }: Tools) {
  const [late, setLate] = useState(false);
  useEffect(() => {
    setLate(false);
    if (!waits) return;
    let timer: ReturnType<typeof setTimeout>;
    const again = () => {
      setLate(true);
      void chat.loadModels();
      timer = setTimeout(again, LOOK_MS);
    };
    timer = setTimeout(again, Math.max(0, waits.since + PATIENCE_MS - performance.now()));
    return () => clearTimeout(timer);
  }, [waits?.since]);
  return { late: waits !== null && late, expected: waiting(waits?.asked ?? [], chat.view.models) };
}
