import type { Comm, Model } from "./gateway/comm";
import { setTrait } from "./tools";

/** What edits text is the panel's, with whichever keys beside it. */
const EDITING = new Set(["a", "c", "v", "x", "y", "z", "backspace", "delete", "home", "end", "enter"]);

/** Keep the front end's shortcuts away from what is typed here, as Shift+Enter, which would run the cell; others go on. */
export function keepKeys(root: HTMLElement): void {
  root.setAttribute("data-lm-suppress-shortcuts", "true");
  // JupyterLab forbids line breaks by Shift+Enter inside cells, whoever they are for.
  root.addEventListener(
    "beforeinput",
    (event) => event.inputType === "insertLineBreak" && event.stopPropagation(),
    true,
  );
  root.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || EDITING.has(event.key.toLowerCase()) || event.key.startsWith("Arrow"))
      return;
    const { key, code, ctrlKey, metaKey, shiftKey, altKey, keyCode } = event;
    const told = {
      key,
      code,
      ctrlKey,
      metaKey,
      shiftKey,
      altKey,
      keyCode,
      bubbles: true,
      cancelable: true,
      composed: true,
    };
    if (!root.parentElement?.dispatchEvent(new KeyboardEvent("keydown", told))) event.preventDefault();
  });
}

/** ipywidgets marks a view whose kernel has ended. */
export function watchKernel(kernel: Comm, el: HTMLElement): () => void {
  const look = () => el.classList.contains("jupyter-widgets-disconnected") && kernel.over();
  const marked = new MutationObserver(look);
  marked.observe(el, { attributes: true, attributeFilter: ["class"] });
  look();
  return () => marked.disconnect();
}

/** Give the panel its height: what its layout says, else the trait's, which follows where a hand resizes it. */
export function sized(model: Model, el: HTMLElement, root: HTMLElement): () => void {
  const fit = () => (root.style.height = el.style.height ? "100%" : `${Number(model.get("height"))}px`);
  const released = () => {
    const height = Math.round(root.getBoundingClientRect().height);
    if (!el.style.height && height > 0 && Math.abs(height - Number(model.get("height"))) > 1)
      setTrait(model, "height", height);
  };
  fit();
  model.on("change:height", fit);
  const laidOut = new MutationObserver(fit);
  laidOut.observe(el, { attributes: true, attributeFilter: ["style"] });
  root.addEventListener("pointerup", released);
  return () => {
    model.off("change:height", fit);
    laidOut.disconnect();
  };
}
