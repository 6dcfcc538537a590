import type { Model } from "./gateway/comm";

/** The notebook that a panel stands in. */
export interface Notebook {
  /** Put `code` into a new cell below the panel's. */
  insertBelow(code: string): void;
  /** Call `gone` once the kernel has ended, or is another, until the function that is returned is called. */
  onKernelGone(gone: () => void): () => void;
  /** There is something to save. */
  touch(): void;
  /**
   * Before each save, write what `html` returns where the panel's conversation is kept for who opens the notebook
   * without a kernel, until the function that is returned is called.
   */
  onSave(html: () => string | null): () => void;
}

interface Output {
  data: Record<string, unknown>;
  toJSON(): Record<string, unknown>;
}

interface Outputs {
  length: number;
  get(at: number): Output;
  set(at: number, output: Record<string, unknown>): void;
}

interface Cells {
  length: number;
  get(at: number): { outputs?: Outputs };
}

interface NotebookModel {
  cells: Cells;
  dirty: boolean;
  sharedModel: { insertCell(at: number, cell: Record<string, unknown>): unknown };
}

interface Signal<T> {
  connect(slot: (sender: unknown, told: T) => void): void;
  disconnect(slot: (sender: unknown, told: T) => void): void;
}

interface Context {
  model: NotebookModel;
  saveState?: Signal<string>;
  sessionContext?: { kernelChanged?: Signal<unknown>; statusChanged?: Signal<string> };
}

const GONE = ["dead", "terminating", "restarting", "autorestarting"];

const VIEW = "application/vnd.jupyter.widget-view+json";

/** JupyterLab's and Notebook 7's widget managers tell their notebook's context; others tell none. */
export function notebookOf(model: Model): Notebook | null {
  const context = (model.widget_manager as { context?: Context } | undefined)?.context;
  const notebook = context?.model;
  if (typeof notebook?.sharedModel?.insertCell !== "function" || typeof notebook.cells?.get !== "function") return null;
  const { cells, sharedModel } = notebook;
  const place = String(model.get("_place"));
  return {
    insertBelow(code) {
      const at = placeOf(cells, place)?.cell ?? cells.length - 1;
      sharedModel.insertCell(at + 1, { cell_type: "code", source: code, metadata: { trusted: true } });
    },
    touch() {
      notebook.dirty = true;
    },
    onKernelGone(gone) {
      const isGone = (status: string) => GONE.includes(status) && gone();
      const { kernelChanged, statusChanged } = context?.sessionContext ?? {};
      return both(connected(kernelChanged, gone), connected(statusChanged, isGone));
    },
    onSave(html) {
      return connected(context?.saveState, (state) => {
        const told = state === "started" ? html() : null;
        if (told !== null) keep(cells, place, told);
      });
    },
  };
}

function connected<T>(signal: Signal<T> | undefined, hear: (told: T) => void): () => void {
  const slot = (_: unknown, told: T) => hear(told);
  signal?.connect(slot);
  return () => signal?.disconnect(slot);
}

function both(one: () => void, other: () => void): () => void {
  return () => {
    one();
    other();
  };
}

function keep(cells: Cells, place: string, html: string): void {
  const found = placeOf(cells, place);
  const at = (found?.output ?? 0) - 1;
  if (!found || at < 0) return;
  const saved = found.outputs.get(at);
  const before = textOf(saved.data["text/html"]);
  if (!/ class="[^"]*\bwarp-saved\b/.test(before) || before === html) return;
  const told = saved.toJSON();
  found.outputs.set(at, { ...told, data: { ...(told["data"] as object), "text/html": html } });
}

/** Where the panel's own output is; it may be inside another widget, and then it is nowhere. */
function placeOf(cells: Cells, place: string): { cell: number; outputs: Outputs; output: number } | null {
  for (let cell = 0; cell < cells.length; cell++) {
    const outputs = cells.get(cell).outputs;
    for (let output = 0; outputs && output < outputs.length; output++) {
      const view = outputs.get(output).data[VIEW] as { model_id?: string } | undefined;
      if (view?.model_id === place) return { cell, outputs, output };
    }
  }
  return null;
}

function textOf(value: unknown): string {
  return Array.isArray(value) ? value.join("") : typeof value === "string" ? value : "";
}
