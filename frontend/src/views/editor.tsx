import { useEffect, useRef, useState } from "preact/hooks";

interface Props {
  text: string;
  /** Whether it can be asked at this moment. */
  free: boolean;
  onDone: (text: string) => void;
  onCancel: () => void;
}

/** A prompt that is being changed, in its place. */
export function Editor({ text, free, onDone, onCancel }: Props) {
  const [now, setNow] = useState(text);
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    area.current?.focus();
    area.current?.setSelectionRange(text.length, text.length);
  }, []);
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Escape") onCancel();
    else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      onDone(now);
    }
  };
  return (
    <div class="warp-editor">
      <textarea
        ref={area}
        aria-label="Edit prompt"
        rows={Math.min(8, now.split("\n").length + 1)}
        value={now}
        onInput={(event) => setNow(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      <p class="warp-quiet">What was said after this prompt moves to a branch.</p>
      <div class="warp-row">
        <button type="button" class="warp-labelled" onClick={onCancel}>
          Cancel
        </button>
        <button
          type="button"
          class="warp-labelled warp-first"
          disabled={!free || !now.trim()}
          onClick={() => onDone(now)}
        >
          Ask again
        </button>
      </div>
    </div>
  );
}
