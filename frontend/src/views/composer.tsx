import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { type Draft, keepDraft, keptDraft } from "../drafts";
import { attachmentOf } from "../files";
import type { Attachment } from "../gateway/types";
import type { Tools } from "../tools";
import { Attach } from "./attach";
import { IconButton } from "./icons";

const LINES = 8;
const LINE_PX = 21;
const EMPTY: Draft = { text: "", attachments: [] };

export interface Proposal {
  text: string;
  /** Names of variables. */
  attach: string[];
}

interface Props {
  tools: Tools;
  /** Another one begins with its own draft: give the composer this as its key. */
  sessionId: string;
  /** Whether the conversation is known, and whether it knows a prompt that was sent under this id. */
  loaded: boolean;
  heard: (key: string) => boolean;
  busy: boolean;
  disabled: boolean;
  /** Why nothing can be sent at this moment, or "". */
  hindered: string;
  lastPrompt: string;
  /** What was begun for the user. */
  proposed: Proposal | null;
  dropped: File[] | null;
  /** Returns whether it is on its way; if not, it stays here. */
  onSend: (draft: Draft) => boolean;
}

/** Where one writes. What is written is kept until it was heard. */
export function Composer(props: Props) {
  const { tools, sessionId, busy, disabled, hindered, lastPrompt, onSend } = props;
  const [draft, setDraft] = useState(() => keptDraft(sessionId));
  const [reading, setReading] = useState(0);
  const [trouble, setTrouble] = useState("");
  const area = useRef<HTMLTextAreaElement>(null);
  const latest = useRef(draft);
  latest.current = draft;

  const change = (next: Draft) => {
    latest.current = next;
    keepDraft(sessionId, next);
    setDraft(next);
  };
  useEffect(() => {
    if (draft.key && props.heard(draft.key)) change(EMPTY); // it was sent before the page was left
  });
  useLayoutEffect(() => {
    if (!area.current) return;
    area.current.style.height = "auto";
    area.current.style.height = `${Math.min(area.current.scrollHeight, LINES * LINE_PX + 16)}px`;
  }, [draft.text]);

  const write = (text: string) => change({ text, attachments: latest.current.attachments });
  const attachTo = (attachments: Attachment[]) => change({ text: latest.current.text, attachments });
  const add = async (what: () => Promise<Attachment>) => {
    setReading((number) => number + 1);
    setTrouble("");
    try {
      attachTo([...latest.current.attachments, await what()]);
    } catch (error) {
      setTrouble(error instanceof Error ? error.message : String(error));
    } finally {
      setReading((number) => number - 1);
    }
  };
  const addFiles = (files: Iterable<File>) => {
    for (const file of files) void add(() => attachmentOf(file, tools.kernel));
  };
  const addVariable = (name: string) => {
    void add(async () => (await tools.kernel.call("attach", { name })).attachment);
  };
  useEffect(() => {
    if (!props.proposed) return;
    if (!latest.current.text.trim()) write(props.proposed.text);
    props.proposed.attach.forEach(addVariable);
    area.current?.focus();
  }, [props.proposed]);
  useEffect(() => {
    if (props.dropped) addFiles(props.dropped);
  }, [props.dropped]);

  const isEmpty = !draft.text.trim();
  const advice = isEmpty && draft.attachments.length ? "Write what is to be done with it." : "";
  const isUnsure = draft.key !== undefined && !props.loaded; // it may have been heard
  const why = trouble || hindered || (isUnsure ? "Loading…" : "") || (reading ? "Reading what is attached…" : advice);
  const canSend = !isEmpty && !hindered && !isUnsure && !reading && !disabled && !busy;
  const send = () => {
    if (!canSend || !onSend(draft)) return;
    latest.current = EMPTY; // what was sent is kept by who sends it
    setDraft(EMPTY);
    setTrouble("");
    area.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    } else if (event.key === "ArrowUp" && !draft.text && lastPrompt) {
      event.preventDefault();
      write(lastPrompt);
    }
  };
  const onPaste = (event: ClipboardEvent) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length || event.clipboardData?.types.includes("text/plain")) return; // cells of a sheet come as both
    event.preventDefault();
    addFiles(files);
  };
  return (
    <form
      class="warp-composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      {draft.attachments.length > 0 && (
        <ul class="warp-chips" aria-label="Attachments">
          {draft.attachments.map((one, at) => (
            <li class="warp-chip" key={at}>
              <span title={one.name}>{one.name || one.kind}</span>
              <button
                type="button"
                aria-label={`Remove ${one.name || one.kind}`}
                title="Remove"
                onClick={() => attachTo(draft.attachments.filter((_, place) => place !== at))}
              >
                ×
              </button>
            </li>
          ))}
        </ul>
      )}
      <textarea
        ref={area}
        rows={1}
        aria-label="Prompt"
        placeholder={disabled ? "This panel is for reading" : "Ask something"}
        value={draft.text}
        disabled={disabled}
        onInput={(event) => write(event.currentTarget.value)}
        onKeyDown={onKeyDown}
        onPaste={onPaste}
      />
      <div class="warp-row">
        <Attach tools={tools} disabled={disabled} onFiles={addFiles} onVariable={addVariable} />
        <span class="warp-why" role="status">
          {why}
        </span>
        {busy ? (
          <IconButton
            key="stop"
            icon="stop"
            name="Stop"
            label="Stop"
            kind="stop"
            onClick={() => void tools.chat.stop()}
          />
        ) : (
          <IconButton key="send" icon="send" name="Send" label="Send" kind="send" disabled={!canSend} onClick={send} />
        )}
      </div>
    </form>
  );
}
