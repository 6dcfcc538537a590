import { render } from "preact";
import { Chat } from "./chat";
import { Comm, type Model } from "./gateway/comm";
import { pageServer } from "./gateway/page";
import { Rest } from "./gateway/rest";
import type { Gateway } from "./gateway/types";
import { notebookOf } from "./notebook";
import { savedHtml } from "./saved";
import { keepKeys, sized, watchKernel } from "./surroundings";
import type { Tools } from "./tools";
import { Panel } from "./views/panel";

/** The gateway that the kernel uses, by the shorter way: the page's own server where that is it, else the kernel. */
async function gatewayOf(model: Model, kernel: Comm): Promise<Gateway> {
  const wanted = model.get("_gateway");
  const server = wanted ? pageServer() : null;
  if (!server) return kernel;
  const rest = new Rest(server);
  const ready = await rest.call("ready", {}).catch(() => null);
  return ready?.gatewayId === wanted ? rest : kernel;
}

/** Show the panel of `model` in `el`; returns what undoes it. */
async function show(model: Model, el: HTMLElement): Promise<() => void> {
  const notebook = notebookOf(model);
  const kernel = new Comm(model, notebook !== null);
  const root = el.appendChild(document.createElement("div"));
  root.className = "warp-root";
  keepKeys(root);
  const undo: (() => void)[] = [() => kernel.close(), sized(model, el, root), watchKernel(kernel, el)];
  let chat: Chat | null = null;
  let beginning = 0;
  const begin = async () => {
    const number = ++beginning;
    const gateway = await gatewayOf(model, kernel);
    if (number !== beginning) return; // another has begun meanwhile, or the panel is gone
    chat?.close();
    chat = new Chat(gateway, String(model.get("session")), () => String(model.get("_notebook") ?? ""));
    chat.onKept = () => notebook?.touch();
    const tools: Tools = { chat, gateway, kernel, model, notebook };
    chat.begin();
    render(<Panel key={gateway} tools={tools} root={root} />, root);
  };
  const opened = () => chat?.open(String(model.get("session")));
  const moved = () => void begin();
  const saved = () => {
    const now = chat?.view.conversation;
    return now?.session ? savedHtml(now.turns, now.session.turns) : null;
  };
  if (notebook)
    undo.push(
      notebook.onSave(saved),
      notebook.onKernelGone(() => kernel.over()),
    );
  model.on("change:session", opened);
  model.on("change:_gateway", moved);
  undo.push(() => {
    beginning++;
    model.off("change:session", opened);
    model.off("change:_gateway", moved);
    chat?.close();
    render(null, root);
  });
  await begin();
  return () => undo.reverse().forEach((one) => one());
}

export default {
  async render({ model, el }: { model: Model; el: HTMLElement }): Promise<() => void> {
    return show(model, el);
  },
};
