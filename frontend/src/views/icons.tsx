/** Icons of one family: 16 px, lines of 1.5 in the text's colour. Their buttons have the names. */
const PATHS = {
  attach: "M13 7.5 8 12.5a3.2 3.2 0 0 1-4.5-4.5l5.3-5.3a2.1 2.1 0 0 1 3 3L6.6 10.9a1 1 0 0 1-1.5-1.5L9.8 4.7",
  again: "M13 8a5 5 0 1 1-1.5-3.6M13 2.5v2.6h-2.6",
  close: "M4 4l8 8M12 4l-8 8",
  copy: "M6 6h7v7H6zM10 6V3H3v7h3",
  down: "M8 3v10M4 9l4 4 4-4",
  edit: "M3 13l.7-3L10.5 3.2l2.3 2.3L6 12.3z",
  fork: "M4 3v10M4 9c0-2 8-1 8-5M12 3v1M10.5 4.5 12 3l1.5 1.5",
  forward: "M4 3.5v9L11 8zM13 3.5v9",
  list: "M3 4h10M3 8h10M3 12h10",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  plus: "M8 3v10M3 8h10",
  send: "M8 13V3M4 7l4-4 4 4",
  stop: "M4.5 4.5h7v7h-7z",
  trash: "M3 4.5h10M6 4.5V3h4v1.5M4.5 4.5l.6 8.5h5.8l.6-8.5",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  const width = name === "more" ? 2.5 : 1.5;
  return (
    <svg width="16" height="16" viewBox="0 0 16 16" fill="none" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} stroke="currentColor" stroke-width={width} stroke-linecap="round" stroke-linejoin="round" />
    </svg>
  );
}

interface ButtonProps {
  icon: IconName;
  name: string;
  onClick: (event: MouseEvent) => void;
  disabled?: boolean;
  expanded?: boolean;
  popup?: "menu" | "dialog";
  /** Shown beside the icon, too. */
  label?: string;
  kind?: string;
}

/** A button of an icon; its name is what screen readers say, and its tooltip. */
export function IconButton({ icon, name, onClick, disabled, expanded, popup, label, kind }: ButtonProps) {
  return (
    <button
      type="button"
      class={`warp-button${kind ? ` warp-${kind}` : ""}`}
      aria-label={label ? undefined : name}
      title={name}
      onClick={onClick}
      disabled={disabled}
      aria-expanded={expanded}
      aria-haspopup={popup}
    >
      <Icon name={icon} />
      {label && <span>{label}</span>}
    </button>
  );
}
