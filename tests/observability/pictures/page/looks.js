// Panels of what is now: numbers, bars and tables.

/** The colour as Grafana paints a whole panel with it: a little darker towards one corner. */
const painted = color => `linear-gradient(120deg, color-mix(in srgb, ${color} 62%, #0b1a0b), ${color})`;

function spark(box, series, board, color, width, height) {
  const points = series.points.filter(point => Number.isFinite(point[1]));
  if (points.length < 2) return;
  const values = points.map(point => point[1]), most = Math.max(...values), least = Math.min(...values, 0);
  const x = at => (at - board.start) / (board.end - board.start) * width;
  const y = value => height - 2 - (value - least) / (most - least || 1) * (height * 0.42);
  const line = points.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`);
  const svg = shape("svg", { width, height });
  const area = [...line, `${x(points.at(-1)[0]).toFixed(1)},${height}`, `${x(points[0][0]).toFixed(1)},${height}`];
  svg.append(shape("polygon", { points: area.join(" "), fill: color, "fill-opacity": 0.25 }));
  svg.append(shape("polyline", { points: line.join(" "), fill: "none", stroke: color, "stroke-opacity": 0.8, "stroke-width": 1.4 }));
  box.append(svg);
}

DRAW.stat = (body, panel, board, width, height) => {
  const series = every(panel), named = panel.options.textMode === "value_and_name";
  const filled = panel.options.colorMode === "background";
  const across = series.length > 1 && width > 330;
  // Flat ones have their name and number side by side.
  const flat = named && !across && height / series.length < 75;
  series.forEach((each, n) => {
    const settings = field(panel, each.name), value = last(each);
    const color = threshold(settings.thresholds.steps, value);
    const plain = settings.thresholds.steps.length === 1;
    const wide = across ? width / series.length : width, tall = across ? height : height / series.length;
    const box = element("div", { class: "stat" });
    const paint = filled && !plain ? `background:${painted(color)};color:#fff;` : "";
    box.style.cssText = `${paint}left:${across ? n * wide : 0}px;top:${across ? 0 : n * tall}px;width:${wide - (across ? 2 : 0)}px;height:${tall - 2}px`;
    spark(box, each, board, paint ? "#ffffff" : plain ? "#8e95a5" : color, wide, tall - 2);
    const text = written(value, settings.unit, settings.decimals);
    const size = Math.min(tall * (flat ? 0.5 : named ? 0.36 : 0.42), wide / (text.length * 0.62), 44);
    const number = element("div", { class: "value" }, text);
    number.style.cssText = `font-size:${size}px;line-height:${size}px;color:${paint || plain ? "var(--strong)" : color};`;
    if (flat) number.style.cssText += `top:${(tall - size) / 2}px;padding-right:12px;text-align:right`;
    else number.style.cssText += named ? `top:${Math.max(24, tall * 0.34)}px;padding-left:10px` : `top:${tall * 0.26}px;text-align:center`;
    const top = flat ? tall / 2 - 9 : 7, letters = Math.min(13, wide / (each.name.length * 0.56));
    if (named) box.append(element("div", { class: "name", style: `top:${top}px;font-size:${letters}px` }, each.name));
    box.append(number);
    body.append(box);
  });
};

DRAW.bargauge = (body, panel, board, width, height) => {
  const series = every(panel), { unit, decimals, thresholds, max } = panel.fieldConfig.defaults;
  const most = max ?? Math.max(...series.map(last));
  const tall = Math.min(34, (height - 10) / series.length), size = Math.min(13, tall * 0.62);
  const left = Math.min(width * 0.4, Math.max(...series.map(each => each.name.length)) * size * 0.56 + 10);
  series.forEach((each, n) => {
    const value = last(each), color = threshold(thresholds.steps, value);
    const bar = element("div", { class: "bar", style: `top:${2 + n * tall}px;height:${tall - 5}px;font-size:${size}px;line-height:${tall - 5}px` });
    bar.append(element("div", { class: "name", style: `left:0;width:${left - 8}px` }, each.name));
    const track = element("div", { class: "track", style: `left:${left}px;right:70px;top:0;bottom:0` });
    track.append(element("div", { class: "fill", style: `width:${Math.min(100, 100 * value / (most || 1))}%;background:${color}55;border-color:${color}` }));
    bar.append(track, element("div", { class: "value", style: `color:${color}` }, written(value, unit, decimals)));
    body.append(bar);
  });
};

DRAW.table = (body, panel) => {
  const renamed = panel.transformations.find(each => each.id === "organize").options.renameByName;
  const rows = new Map();
  for (const target of panel.found)
    for (const each of target.series) {
      const { __name__, ...labels } = each.labels, key = JSON.stringify(labels);
      const value = panel.found.length > 1 ? `Value #${target.refId}` : "Value";
      rows.set(key, { ...labels, ...rows.get(key), [value]: last(each) });
    }
  const columns = Object.keys(renamed).filter(name => [...rows.values()].some(row => row[name] !== undefined));
  const table = element("table"), head = element("tr");
  for (const name of columns) head.append(element("th", name.startsWith("Value") ? { class: "number" } : {}, renamed[name]));
  table.append(head);
  for (const row of rows.values()) {
    const line = element("tr");
    for (const name of columns) {
      const number = name.startsWith("Value"), { unit, decimals } = field(panel, renamed[name]);
      const text = row[name] === undefined ? "" : number ? written(row[name], unit, decimals) : row[name];
      line.append(element("td", number ? { class: "number" } : {}, text));
    }
    table.append(line);
  }
  body.append(table);
};
