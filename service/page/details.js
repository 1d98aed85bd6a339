// One prediction in full, in a dialog.

import { RequestFailed, requestJson } from "./api.js";
import { byId, setChip, updateList, createNode, setText } from "./dom.js";
import { formatDuration, formatValue, statusWord } from "./format.js";

const dialog = byId("details");
let shown = null; // the id
let final = false;

export async function openDetails(id) {
  [shown, final] = [id, false];
  byId("facts").replaceChildren();
  byId("texts").replaceChildren();
  dialog.showModal();
  await refreshDetails();
}

/** Ask again, as long as it may change. */
export async function refreshDetails() {
  if (!dialog.open || final) return;
  const id = shown;
  try {
    const prediction = await requestJson(`v1/predictions/${encodeURIComponent(id)}`);
    if (dialog.open && id === shown) renderDetails(prediction);
  } catch (error) {
    if (!(error instanceof RequestFailed)) throw error;
    if (!byId("facts").children.length) renderDetails({ id, error: error.message, metrics: {} });
  }
}

function renderDetails(p) {
  final = ["succeeded", "failed", "canceled"].includes(p.status);
  const { queue_time: queued, predict_time: ran } = p.metrics;
  const facts = [
    ["status", p.status && statusWord(p.status)],
    ["model", p.model],
    ["id", p.id],
    ["created", p.created_at && new Date(p.created_at).toLocaleString()],
    ["place in queue", p.queue_position],
    ["queued", queued == null ? null : formatDuration(queued)],
    ["ran", ran == null ? null : formatDuration(ran)],
    ["attempts", p.attempt],
    ["priority", p.priority],
    ["error", p.error && `${p.error_code ?? ""} ${p.error}`.trim()],
  ].filter(([, value]) => value != null && value !== "");
  const row = ([name]) => createNode("div", { class: "fact" }, createNode("dt", {}, name), createNode("dd"));
  updateList(byId("facts"), facts, ([name]) => name, row, (node, [name, value]) => {
    if (name !== "status") return setText(node.lastChild, String(value));
    if (!node.lastChild.firstChild) node.lastChild.append(createNode("span", { class: "chip" }));
    setChip(node.lastChild.firstChild, value);
  });
  const texts = [["Input", p.input], ["Output", p.output], ["Logs", p.logs]].filter(([, value]) => value != null && value !== "");
  const block = ([name]) => createNode("section", {}, createNode("h3", {}, name), createNode("pre", { tabindex: "0", "aria-label": name }));
  updateList(byId("texts"), texts, ([name]) => name, block, (node, [, value]) => setText(node.lastChild, formatValue(value)));
}

byId("close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
