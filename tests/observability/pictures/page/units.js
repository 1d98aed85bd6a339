// Numbers as Grafana writes them: a unit, and as many decimals as tell something.

const scaled = (value, factor, names) => {
  let place = 0;
  while (Math.abs(value) >= factor && place < names.length - 1) { value /= factor; place += 1; }
  return [value, names[place]];
};
const seconds = value => {
  const size = Math.abs(value);
  if (size === 0) return [0, " s"];
  if (size < 1e-3) return [value * 1e6, " µs"];
  if (size < 1) return [value * 1e3, " ms"];
  if (size < 60) return [value, " s"];
  if (size < 3600) return [value / 60, " mins"];
  return size < 86400 ? [value / 3600, " hours"] : [value / 86400, " days"];
};
const thousands = value => scaled(value, 1000, ["", " K", " Mil", " Bil"]);
const UNITS = {
  short: thousands,
  locale: value => [value, ""],
  s: seconds,
  bytes: value => scaled(value, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]),
  percentunit: value => [value * 100, "%"],
  reqps: value => scaled(value, 1000, [" req/s", "K req/s"]),
  cps: value => scaled(value, 1000, [" c/s", "K c/s"]),
  currencyUSD: value => scaled(value, 1000, ["", "K"]),
  celsius: value => [value, " °C"],
  watt: value => scaled(value, 1000, [" W", " kW"]),
  h: value => [value, " hours"],
};

function decimalsFor(value) {
  if (value === 0 || Number.isInteger(value)) return 0;
  const log = Math.floor(Math.log10(Math.abs(value)));
  const more = Math.abs(value) / 10 ** log > 2.25 && log < 2 ? 1 : 0;
  return Math.max(0, Math.min(4, 1 - log + (log > 0 ? more : 0)));
}

/** A number with its unit; `decimals` is what the panel says, if it says any. */
function written(value, unit, decimals) {
  if (value === null || Number.isNaN(value)) return "";
  const suffix = unit.startsWith("suffix:") ? unit.slice(7) : null;
  const [number, name] = suffix === null ? (UNITS[unit] ?? thousands)(value) : [value, suffix];
  const rounded = Number(number.toPrecision(10));
  const places = decimals ?? decimalsFor(rounded);
  const text = unit === "locale" ? rounded.toLocaleString("en", { maximumFractionDigits: places }) : rounded.toFixed(places).replace(/^-(0\.?0*)$/, "$1");
  return `${unit === "currencyUSD" ? "$" : ""}${text}${name}`;
}

/** Steps that people like, for an axis of about `count` lines. */
function ticks(most, unit, count) {
  const steps = unit === "bytes" ? [1, 2, 4, 8, 16, 32, 64, 128, 256, 512] : [1, 2, 2.5, 5];
  const base = unit === "bytes" ? 1024 : 10;
  const wanted = most / count;
  const power = base ** Math.floor(Math.log(wanted) / Math.log(base));
  const step = [...steps.map(s => s * power), base * power].find(s => s >= wanted * 0.999);
  return Array.from({ length: Math.floor(most / step * 1.0001) + 1 }, (_, n) => n * step);
}
