import { pictureAddress, pictureHost } from "./addresses";

/**
 * Gives each picture in `root` that is not loaded a button that loads it. Until it is clicked nothing is asked of
 * the picture's host. May be called again whenever `root` has changed.
 */
export function images(root: Element): void {
  for (const place of root.querySelectorAll("span.warp-image[data-source]")) {
    const address = pictureAddress(place.getAttribute("data-source") ?? "");
    if (address !== undefined && place.firstElementChild === null) offer(place, address);
  }
}

function offer(place: Element, address: string): void {
  const alternative = place.textContent;
  const button = place.ownerDocument.createElement("button");
  button.type = "button";
  button.className = "warp-image-button";
  button.textContent = offerText(pictureHost(address), alternative);
  button.addEventListener("click", () => load(place, address, alternative));
  place.replaceChildren(button);
}

function offerText(host: string, alternative: string): string {
  const what = host ? `Show image from ${host}` : "Show image that came with the answer";
  return alternative.trim() ? `${what}: ${alternative}` : what;
}

function load(place: Element, address: string, alternative: string): void {
  const image = place.ownerDocument.createElement("img");
  image.alt = alternative;
  image.referrerPolicy = "no-referrer";
  image.addEventListener("error", () => place.replaceChildren(`Image not available: ${alternative}`));
  image.src = address;
  place.replaceChildren(image);
}
