import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

interface Props {
  label: string;
  role?: "menu" | "dialog";
  onClose: () => void;
  children: ComponentChildren;
  kind?: string;
}

const STOPS = "button:not(:disabled), input, [tabindex='0']";

/** What floats: Escape and a click elsewhere close it, arrows go through it, and the focus goes back where it was. */
export function Floating({ label, role = "menu", onClose, children, kind }: Props) {
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const root = box.current?.getRootNode() as Document | ShadowRoot;
    const before = root.activeElement as HTMLElement | null;
    box.current?.querySelector<HTMLElement>(STOPS)?.focus();
    const elsewhere = (event: Event) => {
      const path = event.composedPath();
      const opener = before?.closest("button");
      if (!path.includes(box.current as EventTarget) && !(opener && path.includes(opener))) onClose();
    };
    document.addEventListener("pointerdown", elsewhere);
    return () => {
      document.removeEventListener("pointerdown", elsewhere);
      if (before?.isConnected && (!root.activeElement || root.activeElement === document.body)) before.focus();
    };
  }, []);
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      const opener = box.current?.parentElement?.querySelector<HTMLElement>("[aria-expanded='true']");
      onClose();
      opener?.focus();
    }
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by || !box.current) return;
    event.preventDefault();
    const stops = [...box.current.querySelectorAll<HTMLElement>(STOPS)];
    const at = stops.indexOf((box.current.getRootNode() as Document).activeElement as HTMLElement);
    stops[(at + by + stops.length) % stops.length]?.focus();
  };
  return (
    <div
      ref={box}
      class={`warp-floating${kind ? ` warp-${kind}` : ""}`}
      role={role}
      aria-label={label}
      onKeyDown={onKeyDown}
    >
      {children}
    </div>
  );
}

export function MenuItem({
  onClick,
  children,
  danger,
}: {
  onClick: () => void;
  children: ComponentChildren;
  danger?: boolean;
}) {
  return (
    <button type="button" role="menuitem" class={`warp-item${danger ? " warp-danger" : ""}`} onClick={onClick}>
      {children}
    </button>
  );
}
