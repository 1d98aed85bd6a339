// Numbers, times and JSON as people read them.

export function formatDuration(seconds) {
  if (seconds == null) return "–";
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  return formatRoughly(seconds);
}

/** Enough to see it move, and no wider than a few letters. */
export function formatBriefly(seconds) {
  return seconds != null && seconds < 10 ? `${seconds.toFixed(1)} s` : formatRoughly(seconds);
}

export function formatRoughly(seconds) {
  if (seconds == null) return "–";
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 48 * 3600) return `${Math.floor(whole / 3600)} h`;
  return `${Math.floor(whole / 86400)} d`;
}

export const formatClock = (date) => date.toLocaleTimeString([], { hour12: false });

/** What people call a prediction's status: to the API one that waits is `starting`, as a model may be. */
export const statusWord = (status) => (status === "starting" ? "waiting" : status);

const MOST = 20000;

/** JSON with short things on one line and long vectors cut; a text as it is. */
export function formatValue(value) {
  const text = typeof value === "string" ? value : layOut(value, "");
  return text.length > MOST ? `${text.slice(0, MOST)}\n… ${text.length - MOST} characters more` : text;
}

function layOut(value, indent) {
  if (Array.isArray(value) && value.length > 8 && value.every((item) => typeof item === "number")) {
    return `[${value.slice(0, 6).map((n) => +n.toPrecision(6)).join(", ")}, … ${value.length} numbers]`;
  }
  const flat = JSON.stringify(value);
  if (value === null || typeof value !== "object" || flat.length <= 64) return spaced(value);
  const deeper = `${indent}  `;
  const rows = Array.isArray(value)
    ? value.map((item) => deeper + layOut(item, deeper))
    : Object.entries(value).map(([name, item]) => `${deeper}${JSON.stringify(name)}: ${layOut(item, deeper)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return `${open}\n${rows.join(",\n")}\n${indent}${close}`;
}

function spaced(value) {
  if (Array.isArray(value)) return `[${value.map(spaced).join(", ")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${spaced(item)}`).join(", ")}}`;
}
