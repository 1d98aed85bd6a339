// One prediction in full, in a dialog.

import { Trouble, ask } from "./api.js";
import { byId, chip, list, make, say } from "./dom.js";
import { duration, show, statusWord } from "./words.js";

const dialog = byId("details");
let shown = null; // the id
let final = false;

export async function open(id) {
  [shown, final] = [id, false];
  byId("facts").replaceChildren();
  byId("texts").replaceChildren();
  dialog.showModal();
  await refresh();
}

/** Ask again, as long as it may change. */
export async function refresh() {
  if (!dialog.open || final) return;
  const id = shown;
  try {
    const prediction = await ask(`v1/predictions/${encodeURIComponent(id)}`);
    if (dialog.open && id === shown) render(prediction);
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    if (!byId("facts").children.length) render({ id, error: error.message, metrics: {} });
  }
}

function render(p) {
  final = ["succeeded", "failed", "canceled"].includes(p.status);
  const { queue_time: queued, predict_time: ran } = p.metrics;
  const facts = [
    ["status", p.status && statusWord(p.status)],
    ["model", p.model],
    ["id", p.id],
    ["created", p.created_at && new Date(p.created_at).toLocaleString()],
    ["place in queue", p.queue_position],
    ["queued", queued == null ? null : duration(queued)],
    ["ran", ran == null ? null : duration(ran)],
    ["attempts", p.attempt],
    ["priority", p.priority],
    ["error", p.error && `${p.error_code ?? ""} ${p.error}`.trim()],
  ].filter(([, value]) => value != null && value !== "");
  const row = ([name]) => make("div", { class: "fact" }, make("dt", {}, name), make("dd"));
  list(byId("facts"), facts, ([name]) => name, row, (node, [name, value]) => {
    if (name !== "status") return say(node.lastChild, String(value));
    if (!node.lastChild.firstChild) node.lastChild.append(make("span", { class: "chip" }));
    chip(node.lastChild.firstChild, value);
  });
  const texts = [["Input", p.input], ["Output", p.output], ["Logs", p.logs]].filter(([, value]) => value != null && value !== "");
  const block = ([name]) => make("section", {}, make("h3", {}, name), make("pre", { tabindex: "0", "aria-label": name }));
  list(byId("texts"), texts, ([name]) => name, block, (node, [, value]) => say(node.lastChild, show(value)));
}

byId("close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
