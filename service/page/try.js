// The form: one prediction from its input to its answer.

import { RequestFailed, requestJson, followStream, pause } from "./api.js";
import { byId, setChip, updateList, createNode, setAttribute, setText } from "./dom.js";
import { formatDuration, formatRoughly, formatValue, statusWord } from "./format.js";

const model = byId("model");
const input = byId("input");
const over = (status) => ["succeeded", "failed", "canceled"].includes(status);
const inputs = new Map(); // what stands in the editor, by model
let run = null;

/** The models to choose from, as /v1/models shows them. */
export function offerModels(models) {
  for (const { id, example } of models) {
    if (!inputs.has(id)) inputs.set(id, formatValue(example ?? {}));
  }
  const before = model.value;
  updateList(model, models, (m) => m.id, (m) => createNode("option", { value: m.id }), (node, m) => setText(node, m.id));
  if (model.value !== before) fillInput();
}

function fillInput() {
  input.value = inputs.get(model.value) ?? "{}";
  showComplaint("");
}

function showComplaint(sentence) {
  setText(byId("complaint"), sentence);
  setAttribute(input, "aria-invalid", Boolean(sentence));
}

function updateButtons() {
  setAttribute(byId("run"), "aria-disabled", Boolean(run));
  setAttribute(byId("cancel"), "aria-disabled", !run?.id);
}

async function startRun() {
  if (run || !model.value) return;
  const body = readBody();
  if (body === null) return;
  run = { id: null, ended: new AbortController(), began: performance.now(), streamed: false };
  updateButtons();
  clearAnswer();
  const timer = setInterval(() => setText(byId("seconds"), elapsed(run)), 100);
  try {
    await runPrediction(run, body);
  } catch (error) {
    if (!(error instanceof RequestFailed)) throw error;
    setChip(byId("chip"), "");
    setText(byId("stand"), "");
    showComplaint(error.message);
  } finally {
    clearInterval(timer);
    run.ended.abort();
    run = null;
    setAttribute(byId("answer"), "aria-busy", false);
    setAttribute(byId("progress"), "data-shown", false);
    updateButtons();
  }
}

const elapsed = (current) => `${((performance.now() - current.began) / 1000).toFixed(1)} s`;

/** The body of the request, or null after a complaint. */
function readBody() {
  try {
    const value = JSON.parse(input.value);
    if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error();
    showComplaint("");
    return `{"input":${input.value}}`; // as it was written: a number may have more digits than ours
  } catch (error) {
    showComplaint(error.message ? `This is not JSON: ${error.message}` : "The input must be a JSON object: {…}");
    input.focus();
    return null;
  }
}

function clearAnswer() {
  setChip(byId("chip"), "");
  setText(byId("stand"), "sending");
  setText(byId("answer"), "");
  setText(byId("seconds"), "");
  setAttribute(byId("answer"), "aria-busy", true);
}

async function runPrediction(current, body) {
  const path = `v1/models/${model.value.split("/").map(encodeURIComponent).join("/")}/predictions`;
  const headers = { Prefer: "respond-async" };
  let prediction = await requestJson(path, { method: "POST", body, headers }).catch((error) => {
    if (!error.prediction) throw error;
    return { id: error.prediction }; // it is asked for below, like any other
  });
  current.id = prediction.id;
  updateButtons();
  const own = `v1/predictions/${encodeURIComponent(prediction.id)}`;
  const heard = new AbortController(); // ends a pause early: the stream is done
  followStream(prediction.id, (name, data) => appendOutput(current, name, data), current.ended.signal).then(() => heard.abort());
  let away = 0;
  for (;;) {
    try {
      prediction = await requestJson(own);
      away = 0;
      showProgress(prediction);
    } catch (error) {
      if (!(error instanceof RequestFailed) || (error.status && error.status < 500)) throw error;
      if (++away === 1) setText(byId("stand"), `${error.message} Asking again.`);
    }
    if (over(prediction.status)) break;
    if (heard.signal.aborted) await pause(1000);
    else await pause(1000, heard.signal);
  }
  showOutcome(current, prediction);
}

function appendOutput(current, name, data) {
  const answer = byId("answer");
  if (name !== "output") return;
  const low = answer.scrollHeight - answer.scrollTop - answer.clientHeight < 24;
  answer.append(current.streamed ? data : data.trimStart());
  current.streamed = true;
  if (low) answer.scrollTop = answer.scrollHeight;
}

function showProgress(prediction) {
  const { status, queue_position: place, eta_seconds: eta, progress } = prediction;
  setChip(byId("chip"), statusWord(status));
  const sentences = {
    starting: place ? `number ${place} in the queue${eta ? `, about ${formatRoughly(Math.max(1, eta))}` : ""}` : "about to start",
    processing: progress == null ? "running" : `running, ${Math.round(progress * 100)} % done`,
  };
  setText(byId("stand"), sentences[status] ?? "");
  setAttribute(byId("progress"), "data-shown", status === "processing" && progress != null);
  setAttribute(byId("progress"), "value", progress ?? 0);
}

function showOutcome(current, prediction) {
  const { status, error, error_code: code, output, metrics } = prediction;
  setText(byId("seconds"), elapsed(current));
  const spent = [`queued ${formatDuration(metrics.queue_time ?? 0)}`, `ran ${formatDuration(metrics.predict_time)}`];
  const ran = metrics.predict_time == null ? "" : spent.join(", ");
  setText(byId("stand"), status === "failed" ? `${code ?? "failed"}: ${error ?? ""}` : error ?? ran);
  if (status === "succeeded") setText(byId("answer"), formatValue(output));
}

async function cancelRun() {
  if (!run?.id) return;
  try {
    await requestJson(`v1/predictions/${encodeURIComponent(run.id)}/cancel`, { method: "POST" });
  } catch (error) {
    showComplaint(error.message);
  }
}

model.addEventListener("change", fillInput);
input.addEventListener("input", () => inputs.set(model.value, input.value));
input.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) startRun();
});
byId("try").addEventListener("submit", (event) => { event.preventDefault(); startRun(); });
byId("cancel").addEventListener("click", cancelRun);
