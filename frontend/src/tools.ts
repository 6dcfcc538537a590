import type { Chat } from "./chat";
import type { Comm, Model } from "./gateway/comm";
import type { Gateway } from "./gateway/types";
import type { Notebook } from "./notebook";

/** What the parts of one panel share. */
export interface Tools {
  chat: Chat;
  gateway: Gateway;
  /** The kernel, for what it alone can tell; it may be busy or gone. */
  kernel: Comm;
  /** The widget's state. */
  model: Model;
  /** The notebook around the panel, where the front end lets us at it. */
  notebook: Notebook | null;
}

/** Set a trait of the widget: Python hears of it as soon as the kernel does. */
export function setTrait(model: Model, name: string, value: unknown): void {
  model.set(name, value);
  model.save_changes();
}
