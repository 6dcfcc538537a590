/** What of the page a panel reads: where its server is, and what proves to it that the page is its own. */

export interface Server {
  /** The address of the gateway, ending with `warp/`. */
  base: string;
  headers(): Record<string, string>;
}

/** The Jupyter Server that this page is of; null elsewhere, as in VS Code. */
export function pageServer(): Server | null {
  const told = document.getElementById("jupyter-config-data")?.textContent;
  if (!told) return null;
  let config: Record<string, unknown>;
  try {
    config = JSON.parse(told) as Record<string, unknown>;
  } catch {
    return null;
  }
  if (typeof config["baseUrl"] !== "string") return null;
  const base = new URL(`${config["baseUrl"].replace(/\/?$/, "/")}warp/`, location.href);
  if (base.origin !== location.origin) return null;
  const token = typeof config["token"] === "string" && config["token"] ? config["token"] : null;
  return { base: base.href, headers: () => ({ ...xsrf(), ...(token ? { Authorization: `token ${token}` } : {}) }) };
}

function xsrf(): Record<string, string> {
  const cookie = document.cookie.split("; ").find((one) => one.startsWith("_xsrf="));
  return cookie ? { "X-XSRFToken": decodeURIComponent(cookie.slice("_xsrf=".length)) } : {};
}

/** What all panels of this page share under `name`, whichever copy of this module made it. */
export function shared<T>(name: string, make: () => T): T {
  const page = globalThis as unknown as Record<symbol, T | undefined>;
  const key = Symbol.for(`warp-panel 1 ${name}`);
  return (page[key] ??= make());
}
