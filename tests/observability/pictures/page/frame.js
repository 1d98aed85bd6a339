// What all panels share: colours, places, legends, and the dashboard around them.

const CELL = 30, GAP = 8, MARGIN = 16, WIDTH = 1400;
const NAMED = {
  green: "#73bf69", red: "#f2495c", orange: "#ff9830", yellow: "#fade2a", blue: "#5794f2", purple: "#b877d9",
  gray: "#6e7079", text: "#ccccdc",
};
const PALETTE = ["#73bf69", "#f2cc0c", "#8ab8ff", "#ff9830", "#ff7383", "#5794f2", "#ca95e5", "#56c2c0", "#d683ce", "#c15c17", "#c4e3a0", "#a352cc", "#4fa83f", "#b8924a"];

const element = (name, attributes = {}, text = "") => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
};
const shape = (name, attributes = {}, text = "") => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
};

/** By name, so that a model has the same colour everywhere; never twice in a panel. */
function colors(panel, names) {
  const given = {};
  for (const override of panel.fieldConfig.overrides)
    for (const property of override.properties)
      if (property.id === "color") given[override.matcher.options] = NAMED[property.value.fixedColor];
  const taken = new Set(Object.values(given));
  for (const name of names) {
    if (given[name]) continue;
    let place = [...name].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) >>> 0, 7) % PALETTE.length;
    for (let tries = 0; taken.has(PALETTE[place]) && tries < PALETTE.length; tries += 1) place = (place + 1) % PALETTE.length;
    taken.add(given[name] = PALETTE[place]);
  }
  return given;
}

/** Field settings of a series: the panel's, and what is said of its name. */
function field(panel, name) {
  const found = { ...panel.fieldConfig.defaults };
  for (const override of panel.fieldConfig.overrides)
    if (override.matcher.options === name)
      for (const property of override.properties) found[property.id] = property.value;
  return found;
}

function threshold(steps, value) {
  let color = steps[0].color;
  for (const step of steps) if (step.value !== null && value >= step.value) color = step.color;
  return NAMED[color];
}

const numbers = series => series.points.map(point => point[1]).filter(Number.isFinite);
const last = series => numbers(series).at(-1);
const every = panel => panel.found.flatMap(target => target.series).filter(series => numbers(series).length);

function clock(seconds, step) {
  const at = new Date(seconds * 1000).toISOString();
  return step < 60 ? at.slice(11, 19) : at.slice(11, 16);
}

/** The scale of time, its lines and their words below. */
function timeAxis(svg, box, start, end) {
  const wanted = (end - start) / Math.max(2, Math.floor(box.width / 75));
  const step = [5, 10, 15, 30, 60, 120, 180, 240, 300, 600, 900, 1800, 3600].find(s => s >= wanted) ?? 7200;
  const x = at => box.left + (at - start) / (end - start) * box.width;
  for (let at = Math.ceil(start / step) * step; at <= end; at += step) {
    svg.append(shape("line", { x1: x(at), x2: x(at), y1: box.top, y2: box.top + box.height, stroke: "var(--grid)" }));
    const close = x(at) > box.left + box.width - 16 ? "end" : x(at) < box.left + 16 ? "start" : "middle";
    svg.append(shape("text", { x: x(at), y: box.top + box.height + 15, "text-anchor": close }, clock(at, step)));
  }
  return x;
}

function drawPanel(panel, board) {
  const box = element("section", { class: "panel" });
  const column = (WIDTH - 2 * MARGIN + GAP) / 24, { x, y, w, h } = panel.gridPos;
  const width = w * column - GAP, height = h * (CELL + GAP) - GAP;
  box.style.cssText = `left:${MARGIN + x * column}px;top:${y * (CELL + GAP)}px;width:${width}px;height:${height}px`;
  const title = element("h2", {}, panel.title);
  title.append(element("em", {}, "i"));
  const body = element("div", { class: "body" });
  box.append(title, body);
  if (every(panel).length) DRAW[panel.type](body, panel, board, width - 2, height - 32);
  else body.append(element("div", { class: "empty" }, panel.fieldConfig.defaults.noValue));
  return box;
}

function drawBoard(board) {
  const head = document.querySelector("header"), marks = document.querySelector(".marks");
  head.append(element("b", {}, `Dashboards  ›  ${board.title}`));
  for (const [label, value] of board.chosen) {
    const chip = element("span", { class: "chip" });
    chip.append(element("span", {}, label), element("span", {}, value));
    head.append(chip);
  }
  const time = element("span", { class: "chip alone" });
  time.append(element("span", {}, `${clock(board.start, 1)} to ${clock(board.end, 1)} UTC`));
  head.append(time);
  for (const mark of board.marks) {
    const shown = element("span", {}, mark.name);
    shown.prepend(element("i", { style: `background:${NAMED[mark.color]}` }));
    marks.append(shown);
  }
  const grid = document.getElementById("grid");
  let lowest = 0;
  for (const panel of board.panels) {
    const { y, h } = panel.gridPos;
    lowest = Math.max(lowest, (y + h) * (CELL + GAP));
    if (panel.type === "row") {
      const row = element("div", { class: "row" }, panel.title);
      row.style.top = `${y * (CELL + GAP)}px`;
      grid.append(row);
    } else grid.append(drawPanel(panel, board));
  }
  grid.style.height = `${lowest + GAP}px`;
}

const DRAW = {};
