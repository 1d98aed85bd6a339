// The form: one prediction from its input to its answer.

import { Trouble, ask, follow, pause } from "./api.js";
import { byId, chip, list, make, mark, say } from "./dom.js";
import { duration, roughly, show, statusWord } from "./words.js";

const model = byId("model");
const input = byId("input");
const over = (status) => ["succeeded", "failed", "canceled"].includes(status);
const inputs = new Map(); // what stands in the editor, by model
let run = null;

/** The models to choose from, as /v1/models shows them. */
export function offer(models) {
  for (const { id, example } of models) {
    if (!inputs.has(id)) inputs.set(id, show(example ?? {}));
  }
  const before = model.value;
  list(model, models, (m) => m.id, (m) => make("option", { value: m.id }), (node, m) => say(node, m.id));
  if (model.value !== before) fill();
}

function fill() {
  input.value = inputs.get(model.value) ?? "{}";
  complain("");
}

function complain(sentence) {
  say(byId("complaint"), sentence);
  mark(input, "aria-invalid", Boolean(sentence));
}

function buttons() {
  mark(byId("run"), "aria-disabled", Boolean(run));
  mark(byId("cancel"), "aria-disabled", !run?.id);
}

async function start() {
  if (run || !model.value) return;
  const body = read();
  if (body === null) return;
  run = { id: null, ended: new AbortController(), began: performance.now(), streamed: false };
  buttons();
  begin();
  const timer = setInterval(() => say(byId("seconds"), elapsed(run)), 100);
  try {
    await predict(run, body);
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    chip(byId("chip"), "");
    say(byId("stand"), "");
    complain(error.message);
  } finally {
    clearInterval(timer);
    run.ended.abort();
    run = null;
    mark(byId("answer"), "aria-busy", false);
    mark(byId("progress"), "data-shown", false);
    buttons();
  }
}

const elapsed = (current) => `${((performance.now() - current.began) / 1000).toFixed(1)} s`;

/** The body of the request, or null after a complaint. */
function read() {
  try {
    const value = JSON.parse(input.value);
    if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error();
    complain("");
    return `{"input":${input.value}}`; // as it was written: a number may have more digits than ours
  } catch (error) {
    complain(error.message ? `This is not JSON: ${error.message}` : "The input must be a JSON object: {…}");
    input.focus();
    return null;
  }
}

function begin() {
  chip(byId("chip"), "");
  say(byId("stand"), "sending");
  say(byId("answer"), "");
  say(byId("seconds"), "");
  mark(byId("answer"), "aria-busy", true);
}

async function predict(current, body) {
  const path = `v1/models/${model.value.split("/").map(encodeURIComponent).join("/")}/predictions`;
  const headers = { Prefer: "respond-async" };
  let prediction = await ask(path, { method: "POST", body, headers }).catch((error) => {
    if (!error.prediction) throw error;
    return { id: error.prediction }; // it is asked for below, like any other
  });
  current.id = prediction.id;
  buttons();
  const own = `v1/predictions/${encodeURIComponent(prediction.id)}`;
  const heard = new AbortController(); // ends a pause early: the stream is done
  follow(prediction.id, (name, data) => hear(current, name, data), current.ended.signal).then(() => heard.abort());
  let away = 0;
  for (;;) {
    try {
      prediction = await ask(own);
      away = 0;
      tell(prediction);
    } catch (error) {
      if (!(error instanceof Trouble) || (error.status && error.status < 500)) throw error;
      if (++away === 1) say(byId("stand"), `${error.message} Asking again.`);
    }
    if (over(prediction.status)) break;
    if (heard.signal.aborted) await pause(1000);
    else await pause(1000, heard.signal);
  }
  finish(current, prediction);
}

function hear(current, name, data) {
  const answer = byId("answer");
  if (name !== "output") return;
  const low = answer.scrollHeight - answer.scrollTop - answer.clientHeight < 24;
  answer.append(current.streamed ? data : data.trimStart());
  current.streamed = true;
  if (low) answer.scrollTop = answer.scrollHeight;
}

function tell(prediction) {
  const { status, queue_position: place, eta_seconds: eta, progress } = prediction;
  chip(byId("chip"), statusWord(status));
  const sentences = {
    starting: place ? `number ${place} in the queue${eta ? `, about ${roughly(Math.max(1, eta))}` : ""}` : "about to start",
    processing: progress == null ? "running" : `running, ${Math.round(progress * 100)} % done`,
  };
  say(byId("stand"), sentences[status] ?? "");
  mark(byId("progress"), "data-shown", status === "processing" && progress != null);
  mark(byId("progress"), "value", progress ?? 0);
}

function finish(current, prediction) {
  const { status, error, error_code: code, output, metrics } = prediction;
  say(byId("seconds"), elapsed(current));
  const spent = [`queued ${duration(metrics.queue_time ?? 0)}`, `ran ${duration(metrics.predict_time)}`];
  const ran = metrics.predict_time == null ? "" : spent.join(", ");
  say(byId("stand"), status === "failed" ? `${code ?? "failed"}: ${error ?? ""}` : error ?? ran);
  if (status === "succeeded") say(byId("answer"), show(output));
}

async function cancel() {
  if (!run?.id) return;
  try {
    await ask(`v1/predictions/${encodeURIComponent(run.id)}/cancel`, { method: "POST" });
  } catch (error) {
    complain(error.message);
  }
}

model.addEventListener("change", fill);
input.addEventListener("input", () => inputs.set(model.value, input.value));
input.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) start();
});
byId("try").addEventListener("submit", (event) => { event.preventDefault(); start(); });
byId("cancel").addEventListener("click", cancel);
