import { useEffect, useRef, useState } from "preact/hooks";
import { failure } from "../chat";
import type { Gateway, Session } from "../gateway/types";
import { ago, counted } from "../words";
import { IconButton } from "./icons";

const PAGE = 30;
const TYPING_MS = 150;

interface Props {
  gateway: Gateway;
  current: string;
  /** Something of the current one has changed: its title, its turns. */
  version: string;
  disabled: boolean;
  onOpen: (sessionId: string) => void;
  onNew: () => void;
  onClose: () => void;
  onFork: (sessionId: string) => void;
  onDelete: (sessionId: string) => Promise<unknown>;
}

/** The owner's conversations, last used first. */
export function Sessions({ gateway, current, version, disabled, onOpen, onNew, onClose, onFork, onDelete }: Props) {
  const [search, setSearch] = useState("");
  const [found, setFound] = useState<Session[] | null>(null);
  const [cursor, setCursor] = useState<string | null>(null);
  const [trouble, setTrouble] = useState("");
  const [deleting, setDeleting] = useState("");
  const asked = useRef(0);
  const load = async (after: string | null) => {
    const number = ++asked.current;
    try {
      const page = await gateway.call("sessions", { search, limit: PAGE, ...(after && { cursor: after }) });
      if (number !== asked.current) return;
      setFound((before) => [...(after ? (before ?? []) : []), ...page.sessions]);
      setCursor(page.nextCursor);
      setTrouble("");
    } catch (error) {
      if (number === asked.current) setTrouble(failure(error).message);
    }
  };
  useEffect(() => {
    const typing = setTimeout(() => void load(null), found ? TYPING_MS : 0);
    return () => clearTimeout(typing);
  }, [search, current, version]);
  const remove = async (sessionId: string) => {
    setDeleting("");
    try {
      await onDelete(sessionId);
    } catch (error) {
      return setTrouble(failure(error).message);
    }
    await load(null);
  };
  // An empty one is somebody's panel that was opened and not used.
  const shown = (found ?? []).filter((one) => one.turns > 0 || one.sessionId === current || search);
  return (
    <aside
      class="warp-sessions"
      aria-label="Conversations"
      onKeyDown={(event) => {
        if (event.key === "Escape") onClose();
      }}
    >
      <div class="warp-row">
        <input
          type="search"
          aria-label="Search conversations"
          placeholder="Search"
          value={search}
          onInput={(event) => setSearch(event.currentTarget.value)}
        />
        {!disabled && <IconButton icon="plus" name="New conversation" onClick={onNew} />}
      </div>
      {trouble && <p class="warp-trouble">{trouble}</p>}
      {found === null && !trouble && <p class="warp-quiet">Loading…</p>}
      {found !== null && !shown.length && (
        <p class="warp-quiet">{search ? "No conversation has this in its title." : "No conversation yet."}</p>
      )}
      <ul>
        {shown.map((one) => (
          <li key={one.sessionId} class={one.sessionId === current ? "warp-current" : undefined}>
            {deleting === one.sessionId ? (
              <div class="warp-row" role="group" aria-label={`Delete ${one.title || one.sessionId}?`}>
                <span class="warp-quiet">Delete it?</span>
                <button type="button" class="warp-labelled" onClick={() => setDeleting("")}>
                  Keep
                </button>
                <button type="button" class="warp-labelled warp-danger" onClick={() => void remove(one.sessionId)}>
                  Delete
                </button>
              </div>
            ) : (
              <>
                <button
                  type="button"
                  class="warp-session"
                  aria-current={one.sessionId === current}
                  onClick={() => onOpen(one.sessionId)}
                >
                  <span class="warp-session-title">{one.title || one.sessionId}</span>
                  <span class="warp-quiet" title={new Date(one.updatedAt).toLocaleString()}>
                    {counted(one.turns, "turn")} · {ago(Date.parse(one.updatedAt), Date.now())}
                  </span>
                </button>
                {!disabled && (
                  <div class="warp-actions">
                    <IconButton
                      icon="fork"
                      name={`Fork ${one.title || one.sessionId}`}
                      onClick={() => onFork(one.sessionId)}
                    />
                    <IconButton
                      icon="trash"
                      name={`Delete ${one.title || one.sessionId}`}
                      onClick={() => setDeleting(one.sessionId)}
                    />
                  </div>
                )}
              </>
            )}
          </li>
        ))}
      </ul>
      {cursor && (
        <button type="button" class="warp-labelled" onClick={() => void load(cursor)}>
          Show more
        </button>
      )}
    </aside>
  );
}
