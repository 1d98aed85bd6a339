// Requests to this gateway. Addresses are relative, so the page works below any path.

const PATIENCE = 5000;
let key = sessionStorage.getItem("soloist-key");
let asking = null;

/** What the gateway or the network said instead of an answer. */
export class RequestFailed extends Error {
  constructor(sentence, status = 0, code = "unreachable", prediction = null) {
    super(sentence);
    this.status = status;
    this.code = code;
    this.prediction = prediction; // the gateway does not know whether this one is recorded
  }
}

export async function requestJson(path, { method = "GET", body, headers = {}, signal, patience = PATIENCE } = {}) {
  const response = await request(path, {
    method,
    headers: { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
    body,
    signal: AbortSignal.any([AbortSignal.timeout(patience), ...(signal ? [signal] : [])]),
  });
  try {
    return await response.json();
  } catch (error) {
    throw signal?.aborted ? error : new RequestFailed("The gateway broke off its answer.");
  }
}

async function request(path, options) {
  const headers = key ? { ...options.headers, Authorization: `Bearer ${key}` } : options.headers;
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestFailed("The gateway does not answer.");
  }
  if (response.status === 401) {
    await askForKey();
    return request(path, options);
  }
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    const sentence = problem.detail || problem.title || `The gateway answered with ${response.status}.`;
    throw new RequestFailed(sentence, response.status, problem.code, problem.prediction);
  }
  return response;
}

function askForKey() {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("ask");
    const field = document.getElementById("key");
    field.value = "";
    dialog.addEventListener("close", () => {
      key = field.value.trim();
      sessionStorage.setItem("soloist-key", key);
      asking = null;
      resolve();
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

/** Server-sent events of one prediction: calls `on(name, data)` until `done`, and comes again after a break. */
export async function followStream(id, on, signal) {
  let last = "";
  while (!signal.aborted) {
    try {
      const headers = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
      const response = await request(`v1/predictions/${encodeURIComponent(id)}/stream`, { headers, signal });
      for await (const event of parseEvents(response.body)) {
        last = event.id || last;
        on(event.event, event.data);
        if (event.event === "done") return;
      }
    } catch (error) {
      if (signal.aborted || error.status === 404) return;
    }
    await pause(1000, signal);
  }
}

/** The events of a stream (WHATWG HTML, section 9.2). */
async function* parseEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = { data: [] };
      for (const line of block.split("\n")) {
        const colon = line.indexOf(":");
        if (colon <= 0) continue;
        const name = line.slice(0, colon);
        const text = line.slice(colon + 1).replace(/^ /, "");
        if (name === "data") event.data.push(text);
        else event[name] = text;
      }
      if (event.event) yield { ...event, data: event.data.join("\n") };
    }
  }
}

export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
