/** Put `text` on the clipboard and say so on `button` for a moment; a page that may not is asked the old way. */
export async function copyText(text: string, button: HTMLElement): Promise<void> {
  const label = button.querySelector("span") ?? (button.childElementCount ? null : button);
  const done = (await written(text)) ? "Copied" : "Not allowed here";
  const before = (button.dataset["warpLabel"] ??= label?.textContent ?? "");
  if (label) label.textContent = done;
  button.dataset["warpDone"] = done;
  setTimeout(() => {
    if (label) label.textContent = before;
    delete button.dataset["warpDone"];
  }, 1500);
}

async function written(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.style.position = "fixed";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
