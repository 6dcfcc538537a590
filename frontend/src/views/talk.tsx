import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Icon } from "./icons";

const NEAR_PX = 32;

interface Props {
  /** Another one begins at its end. */
  of: string;
  /** Changes with each drawing that may have made it longer. */
  version: unknown;
  /** Changes with each prompt of this panel: one wants to see what one has sent. */
  sent: string | undefined;
  busy: boolean;
  /** The first turn that is shown. */
  first: string | undefined;
  children: ComponentChildren;
}

/** The conversation: it stays at its end while it grows, unless one has scrolled up to read. */
export function Talk({ of, version, sent, busy, first, children }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const [away, setAway] = useState(false);
  const toEnd = () => {
    atEnd.current = true;
    setAway(false);
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  };
  useLayoutEffect(toEnd, [of]);
  useLayoutEffect(() => {
    if (sent) toEnd();
  }, [sent]);
  // Earlier turns come above what is read, which stays where it is.
  const height = useRef(0);
  useLayoutEffect(() => {
    const now = box.current?.scrollHeight ?? 0;
    if (box.current && !atEnd.current && box.current.scrollTop === 0) box.current.scrollTop = now - height.current;
  }, [first]);
  useLayoutEffect(() => {
    if (atEnd.current) toEnd();
    height.current = box.current?.scrollHeight ?? 0;
  }, [version]);
  useEffect(() => {
    const [outer, inner] = [box.current, box.current?.firstElementChild];
    if (!outer || !inner) return;
    // What is drawn late, such as images; and front ends take cells out of the page while they are scrolled away.
    const grown = new ResizeObserver(() => atEnd.current && toEnd());
    grown.observe(outer);
    grown.observe(inner);
    return () => grown.disconnect();
  }, []);
  const onScroll = () => {
    const { scrollHeight = 0, scrollTop = 0, clientHeight = 0 } = box.current ?? {};
    atEnd.current = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    setAway(!atEnd.current);
  };
  return (
    <div class="warp-talk">
      <div
        class="warp-log"
        ref={box}
        role="log"
        aria-label="Conversation"
        aria-live="polite"
        aria-busy={busy}
        tabIndex={0}
        onScroll={onScroll}
      >
        <div class="warp-turns">{children}</div>
      </div>
      {away && (
        <button type="button" class="warp-pill" onClick={toEnd}>
          <Icon name="down" /> Jump to latest
        </button>
      )}
    </div>
  );
}
