// The page: asks the gateway every two seconds what there is, and shows it.

import { Trouble, ask } from "./api.js";
import * as details from "./details.js";
import { byId, chip, list, make, mark, say } from "./dom.js";
import { offer } from "./try.js";
import { brief, clock, duration, roughly, statusWord } from "./words.js";

const EVERY = 2000;
const MOST_WORKERS = 6;
let abouts = new Map(); // what /v1/models says, by id; it changes with the catalog only
let seen = null; // when the last answer came
let timer = 0;
let turn = 0;

async function look() {
  clearTimeout(timer);
  const mine = ++turn;
  try {
    const status = await ask("v1/status");
    if (mine !== turn) return;
    if (status.models.some(({ id }) => !abouts.has(id))) {
      const { results } = await ask("v1/models");
      abouts = new Map(results.map((model) => [model.id, model]));
      offer(results);
    }
    seen = new Date();
    render(status);
    live();
    details.refresh();
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    if (mine === turn) away(error);
  }
  if (mine === turn && !document.hidden) timer = setTimeout(look, EVERY);
}

function live() {
  mark(document.body, "data-stale", false);
  mark(byId("pulse"), "data-live", true);
  say(byId("pulse"), "live");
  byId("notice").hidden = true;
}

function away(error) {
  const who = error.code === "ledger_unavailable" ? "The ledger does not answer." : error.message;
  const since = seen ? ` Shown is what was known at ${clock(seen)}.` : "";
  mark(document.body, "data-stale", true);
  mark(byId("pulse"), "data-live", false);
  say(byId("pulse"), seen ? `stale since ${clock(seen)}` : "not connected");
  say(byId("notice"), who + since);
  byId("notice").hidden = false;
}

function render({ version, now, models, predictions }) {
  say(byId("version"), `Soloist ${version}`);
  const total = (name) => models.reduce((sum, { queue }) => sum + queue[name], 0);
  say(byId("summary"), `${total("queued")} waiting, ${total("running")} running`);
  list(byId("models"), models, (m) => m.id, modelRow, updateModel);
  byId("none").hidden = predictions.length > 0;
  const at = Date.parse(now);
  list(byId("recent"), predictions, (p) => p.id, predictionRow, (node, p) => updatePrediction(node, p, at));
}

const FIGURES = ["Waiting", "Running", "Oldest", "Estimated"];

function modelRow({ id }) {
  const figures = FIGURES.map((name) => make("div", {}, make("dt", {}, name), make("dd")));
  return make("li", {},
    make("div", {},
      make("div", { class: "name" }, make("strong", {}, id), make("span", { class: "chip" })),
      make("p", { class: "about" }),
      make("p", { class: "failure", hidden: "" })),
    make("dl", { class: "figures" }, ...figures),
    make("ul", { class: "workers", "aria-label": `Workers of ${id}` }));
}

function updateModel(node, { id, state, failure, queue, workers }) {
  const about = abouts.get(id);
  chip(node.querySelector(".chip"), state);
  say(node.querySelector(".about"), about?.description ?? "");
  const values = [queue.queued, queue.running, queue.queued ? brief(queue.oldest_seconds) : "–", brief(queue.eta_seconds)];
  node.querySelectorAll("dd").forEach((cell, index) => say(cell, String(values[index])));
  const rows = workers.slice(0, MOST_WORKERS);
  if (workers.length > rows.length) rows.push({ name: `and ${workers.length - rows.length} more`, state: "" });
  if (!rows.length) rows.push({ name: "no worker", state: "" });
  const why = node.querySelector(".failure");
  say(why, failure ? `A worker could not start ${roughly(failure.seconds)} ago: ${failure.detail}` : "");
  why.hidden = !failure;
  list(node.querySelector(".workers"), rows, (w) => w.name, workerRow, updateWorker);
}

const workerRow = () => make("li", {},
  make("span", { class: "device" }), make("span", { class: "who" }), make("span", { class: "doing" }));

function updateWorker(node, { name, state, phase, device, gpu_name, gpu_uuid, state_seconds }) {
  const [what, who, doing] = node.children;
  say(what, gpu_name || device || "");
  what.hidden = !what.textContent;
  mark(what, "title", [device, gpu_uuid].filter(Boolean).join(" "));
  say(who, name);
  mark(who, "title", name);
  say(doing, state && `${phase || state} ${roughly(state_seconds)}`);
}

function predictionRow({ id }) {
  const open = make("button", { type: "button" });
  open.addEventListener("click", () => details.open(id));
  return make("tr", {},
    make("td", {}, make("span", { class: "chip" })), make("td", {}, open), make("td"), make("td"));
}

function updatePrediction(node, { status, model, created_at, metrics }, now) {
  const [first, second, age, took] = node.children;
  chip(first.firstChild, statusWord(status));
  say(second.firstChild, model);
  say(age, roughly((now - Date.parse(created_at)) / 1000));
  say(took, metrics.total_time == null ? "–" : duration(metrics.total_time));
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else look();
});
look();
