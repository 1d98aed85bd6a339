// The page: asks the gateway every two seconds what there is, and shows it.

import { RequestFailed, requestJson } from "./api.js";
import * as details from "./details.js";
import { byId, setChip, updateList, createNode, setAttribute, setText } from "./dom.js";
import { offerModels } from "./try.js";
import { formatBriefly, formatClock, formatDuration, formatRoughly, statusWord } from "./format.js";

const EVERY = 2000;
const MOST_WORKERS = 6;
let abouts = new Map(); // what /v1/models says, by id; it changes with the catalog only
let seen = null; // when the last answer came
let timer = 0;
let turn = 0;

async function refreshStatus() {
  clearTimeout(timer);
  const mine = ++turn;
  try {
    const status = await requestJson("v1/status");
    if (mine !== turn) return;
    if (status.models.some(({ id }) => !abouts.has(id))) {
      const { results } = await requestJson("v1/models");
      abouts = new Map(results.map((model) => [model.id, model]));
      offerModels(results);
    }
    seen = new Date();
    renderStatus(status);
    showLive();
    details.refreshDetails();
  } catch (error) {
    if (!(error instanceof RequestFailed)) throw error;
    if (mine === turn) showAway(error);
  }
  if (mine === turn && !document.hidden) timer = setTimeout(refreshStatus, EVERY);
}

function showLive() {
  setAttribute(document.body, "data-stale", false);
  setAttribute(byId("pulse"), "data-live", true);
  setText(byId("pulse"), "live");
  byId("notice").hidden = true;
}

function showAway(error) {
  const who = error.code === "ledger_unavailable" ? "The ledger does not answer." : error.message;
  const since = seen ? ` Shown is what was known at ${formatClock(seen)}.` : "";
  setAttribute(document.body, "data-stale", true);
  setAttribute(byId("pulse"), "data-live", false);
  setText(byId("pulse"), seen ? `stale since ${formatClock(seen)}` : "not connected");
  setText(byId("notice"), who + since);
  byId("notice").hidden = false;
}

function renderStatus({ version, now, models, predictions }) {
  setText(byId("version"), `Soloist ${version}`);
  const total = (name) => models.reduce((sum, { queue }) => sum + queue[name], 0);
  setText(byId("summary"), `${total("queued")} waiting, ${total("running")} running`);
  updateList(byId("models"), models, (m) => m.id, modelRow, updateModel);
  byId("none").hidden = predictions.length > 0;
  const at = Date.parse(now);
  updateList(byId("recent"), predictions, (p) => p.id, predictionRow, (node, p) => updatePrediction(node, p, at));
}

const FIGURES = ["Waiting", "Running", "Oldest", "Estimated"];

function modelRow({ id }) {
  const figures = FIGURES.map((name) => createNode("div", {}, createNode("dt", {}, name), createNode("dd")));
  return createNode("li", {},
    createNode("div", {},
      createNode("div", { class: "name" }, createNode("strong", {}, id), createNode("span", { class: "chip" })),
      createNode("p", { class: "about" }),
      createNode("p", { class: "failure", hidden: "" })),
    createNode("dl", { class: "figures" }, ...figures),
    createNode("ul", { class: "workers", "aria-label": `Workers of ${id}` }));
}

function updateModel(node, { id, state, failure, queue, workers }) {
  const about = abouts.get(id);
  setChip(node.querySelector(".chip"), state);
  setText(node.querySelector(".about"), about?.description ?? "");
  const values = [queue.queued, queue.running, queue.queued ? formatBriefly(queue.oldest_seconds) : "–", formatBriefly(queue.eta_seconds)];
  node.querySelectorAll("dd").forEach((cell, index) => setText(cell, String(values[index])));
  const rows = workers.slice(0, MOST_WORKERS);
  if (workers.length > rows.length) rows.push({ name: `and ${workers.length - rows.length} more`, state: "" });
  if (!rows.length) rows.push({ name: "no worker", state: "" });
  const why = node.querySelector(".failure");
  setText(why, failure ? `A worker could not start ${formatRoughly(failure.seconds)} ago: ${failure.detail}` : "");
  why.hidden = !failure;
  updateList(node.querySelector(".workers"), rows, (w) => w.name, workerRow, updateWorker);
}

const workerRow = () => createNode("li", {},
  createNode("span", { class: "device" }), createNode("span", { class: "who" }), createNode("span", { class: "doing" }));

function updateWorker(node, { name, state, phase, device, gpu_name, gpu_uuid, state_seconds }) {
  const [what, who, doing] = node.children;
  setText(what, gpu_name || device || "");
  what.hidden = !what.textContent;
  setAttribute(what, "title", [device, gpu_uuid].filter(Boolean).join(" "));
  setText(who, name);
  setAttribute(who, "title", name);
  setText(doing, state && `${phase || state} ${formatRoughly(state_seconds)}`);
}

function predictionRow({ id }) {
  const open = createNode("button", { type: "button" });
  open.addEventListener("click", () => details.openDetails(id));
  return createNode("tr", {},
    createNode("td", {}, createNode("span", { class: "chip" })), createNode("td", {}, open), createNode("td"), createNode("td"));
}

function updatePrediction(node, { status, model, created_at, metrics }, now) {
  const [first, second, age, took] = node.children;
  setChip(first.firstChild, statusWord(status));
  setText(second.firstChild, model);
  setText(age, formatRoughly((now - Date.parse(created_at)) / 1000));
  setText(took, metrics.total_time == null ? "–" : formatDuration(metrics.total_time));
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else refreshStatus();
});
refreshStatus();
