import payloads from "./payloads.json";

/** What a hostile answer could hold. `http://HOST/` stands for a host that listens; scripts set `window.__owned`. */
export const PAYLOADS: readonly { readonly name: string; readonly text: string }[] = payloads;
