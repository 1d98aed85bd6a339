// Panels over time: lines, states and heat.

/** Each series with its lower and upper edge at each moment; a gap is null. */
function stacked(series, moments, on) {
  const below = moments.map(() => 0);
  return series.map(each => {
    const values = new Map(each.points);
    return moments.map((at, n) => {
      const value = values.get(at) ?? NaN;
      if (!on) return Number.isFinite(value) ? [0, value] : null;
      const low = below[n];
      below[n] += Number.isFinite(value) ? value : 0;
      return [low, below[n]];
    });
  });
}

/** The stretches without a gap. */
function stretches(edges) {
  const found = [];
  edges.forEach((edge, n) => {
    if (edge === null) return;
    if (n === 0 || edges[n - 1] === null) found.push([]);
    found.at(-1).push([n, ...edge]);
  });
  return found;
}

function legend(body, panel, series, colored, height) {
  const fit = Math.max(2, Math.floor(height * 0.4 / 18) - 1);
  const { sortBy } = panel.options.legend, order = [...series];
  if (sortBy) order.sort((a, b) => Math.max(...numbers(b)) - Math.max(...numbers(a)));
  const shown = order.slice(0, series.length > fit ? fit - 1 : fit);
  const box = element("div", { class: "legend" });
  const line = (name, current, most, color) => {
    const row = element("div");
    const label = element("span", { class: "name" }, name);
    if (color) label.prepend(element("i", { style: `background:${color}` }));
    row.append(label, element("span", { class: "number" }, current), element("span", { class: "number" }, most));
    box.append(row);
  };
  line("Name", "Last *", "Max");
  for (const each of shown) {
    const { unit, decimals } = field(panel, each.name);
    line(each.name, written(last(each), unit, decimals), written(Math.max(...numbers(each)), unit, decimals), colored[each.name]);
  }
  if (series.length > shown.length) line(`… ${series.length - shown.length} more`, "", "");
  body.append(box);
  return (box.children.length) * 19 + 6;
}

/** What the axis ends at: the panel's own bound, or what is shown. */
function upper(panel, edges) {
  const seen = Math.max(0, ...edges.flat().filter(Boolean).map(edge => edge[1]));
  const most = panel.fieldConfig.defaults.max ?? seen * 1.05;
  return most > 0 ? most : 1;
}

function valueAxis(svg, box, most, unit, decimals) {
  const y = value => box.top + box.height * (1 - Math.min(value, most) / most);
  const lines = ticks(most, unit, Math.max(2, Math.floor(box.height / 32)));
  const written_ = lines.map(value => written(value, unit, decimals));
  const again = new Set(written_).size < written_.length ? lines.map(value => written(value, unit)) : written_;
  lines.forEach((value, n) => {
    svg.append(shape("line", { x1: box.left, x2: box.left + box.width, y1: y(value), y2: y(value), stroke: "var(--grid)" }));
    svg.append(shape("text", { x: box.left - 6, y: y(value) + 4, "text-anchor": "end" }, again[n]));
  });
  return y;
}

DRAW.timeseries = (body, panel, board, width, height) => {
  const series = every(panel), colored = colors(panel, series.map(each => each.name));
  const { unit, decimals, custom, thresholds } = panel.fieldConfig.defaults;
  const moments = [...new Set(series.flatMap(each => each.points.map(point => point[0])))].sort((a, b) => a - b);
  const edges = stacked(series, moments, custom.stacking.mode === "normal");
  const most = upper(panel, edges), below = legend(body, panel, series, colored, height);
  const svg = shape("svg", { width, height: height - below });
  const box = { left: 58, top: 6, width: width - 72, height: height - below - 32 };
  const x = timeAxis(svg, box, board.start, board.end), y = valueAxis(svg, box, most, unit, decimals);
  edges.forEach((each, n) => {
    const color = colored[series[n].name];
    for (const part of stretches(each)) {
      const above = part.map(([at, , high]) => `${x(moments[at]).toFixed(1)},${y(high).toFixed(1)}`);
      const low = part.map(([at, value]) => `${x(moments[at]).toFixed(1)},${y(value).toFixed(1)}`).reverse();
      svg.append(shape("polygon", { points: [...above, ...low].join(" "), fill: color, "fill-opacity": custom.fillOpacity / 100 }));
      if (part.length === 1) above.push(above[0].replace(/^[\d.]+/, at => Number(at) + 1.5));
      svg.append(shape("polyline", { points: above.join(" "), fill: "none", stroke: color, "stroke-width": 1.4 }));
    }
  });
  if (custom.thresholdsStyle.mode === "dashed")
    for (const step of thresholds.steps.filter(step => step.value !== null && step.value <= most))
      svg.append(shape("line", { x1: box.left, x2: box.left + box.width, y1: y(step.value), y2: y(step.value), stroke: NAMED[step.color], "stroke-dasharray": "8 6", "stroke-width": 1.4 }));
  marks(svg, board, box, x);
  body.prepend(svg);
};

function marks(svg, board, box, x) {
  for (const mark of board.marks)
    for (const at of mark.times) {
      const foot = box.top + box.height;
      svg.append(shape("line", { x1: x(at), x2: x(at), y1: box.top, y2: foot, stroke: NAMED[mark.color], "stroke-dasharray": "3 3", "stroke-opacity": 0.7 }));
      svg.append(shape("path", { d: `M${x(at) - 4},${foot + 5}L${x(at) + 4},${foot + 5}L${x(at)},${foot}Z`, fill: NAMED[mark.color] }));
    }
}

/** Moments of one value in a row, as [start, end, value]. */
function spells(series, step) {
  const found = [];
  for (const [at, value] of series.points) {
    const before = found.at(-1);
    if (before && before[2] === value && at - before[1] <= step * 1.01) before[1] = at + step;
    else if (before && at - before[1] <= step * 0.01) found.push([at, at + step, value]);
    else found.push([at, at + step, value]);
  }
  return found;
}

DRAW["state-timeline"] = (body, panel, board, width, height) => {
  const words = panel.fieldConfig.defaults.mappings[0].options;
  const room = Math.floor((height - 50) / 15);
  const series = every(panel).slice(0, room);
  const letters = Math.max(...series.map(each => each.name.length));
  const left = Math.min(width * 0.5, 14 + letters * 6.1), foot = 46;
  const svg = shape("svg", { width, height });
  const box = { left, top: 4, width: width - left - 12, height: height - foot - 4 };
  const x = timeAxis(svg, box, board.start, board.end), tall = box.height / series.length;
  series.forEach((each, n) => {
    const name = each.name.length * 6.1 > left - 14 ? `…${each.name.slice(-Math.floor((left - 20) / 6.1))}` : each.name;
    svg.append(shape("text", { x: left - 6, y: box.top + tall * (n + 0.5) + 4, "text-anchor": "end" }, name));
    for (const [start, end, value] of spells(each, board.step)) {
      const word = words[value] ?? { text: String(value), color: "gray" };
      const from = x(start), wide = Math.max(1, Math.min(x(end), box.left + box.width) - from);
      svg.append(shape("rect", { x: from, y: box.top + tall * (n + 0.1), width: wide, height: tall * 0.8, fill: NAMED[word.color], "fill-opacity": 0.7 }));
      if (wide > word.text.length * 7 + 8 && tall > 13)
        svg.append(shape("text", { x: from + 4, y: box.top + tall * (n + 0.5) + 4, style: "fill:#fff" }, word.text));
    }
  });
  const list = element("div", { class: "list" });
  for (const { text, color } of Object.values(words)) {
    const item = element("span", {}, text);
    item.prepend(element("i", { style: `background:${NAMED[color]}` }));
    list.append(item);
  }
  body.append(svg, list);
};

/** Buckets hold those below them too; what is between two is their difference. */
function cells(series) {
  const rows = [...series].sort((a, b) => Number(a.labels.le.replace("+Inf", "Infinity")) - Number(b.labels.le.replace("+Inf", "Infinity")));
  return rows.map((row, n) => {
    const lower = new Map(n ? rows[n - 1].points : []);
    return { le: row.labels.le, counts: row.points.map(([at, value]) => [at, Math.max(0, value - (lower.get(at) ?? 0))]) };
  });
}

DRAW.heatmap = (body, panel, board, width, height) => {
  const { unit } = panel.fieldConfig.defaults;
  let rows = cells(every(panel));
  while (rows.length > 2 && rows.at(-1).counts.every(([, count]) => count < 0.01)) rows.pop();
  const most = Math.max(...rows.flatMap(row => row.counts.map(([, count]) => count)));
  const svg = shape("svg", { width, height });
  const box = { left: 64, top: 6, width: width - 78, height: height - 58 };
  const x = timeAxis(svg, box, board.start, board.end), tall = box.height / rows.length;
  const heat = share => `hsl(${18 + 26 * share}, ${70 + 25 * share}%, ${16 + 62 * share ** 0.8}%)`;
  rows.forEach((row, n) => {
    const top = box.top + box.height - (n + 1) * tall;
    const label = row.le === "+Inf" ? "more" : written(Number(row.le), unit);
    if (tall > 11 || n % 2 === 0) svg.append(shape("text", { x: box.left - 6, y: top + tall / 2 + 4, "text-anchor": "end" }, label));
    const wide = x(board.start + board.step) - x(board.start), gap = wide > 8 ? 1 : 0;
    for (const [at, count] of row.counts)
      if (count > 0.01)
        svg.append(shape("rect", { x: x(at), y: top + 0.5, width: wide - gap, height: tall - 1, fill: heat((count / most) ** 0.5), "shape-rendering": "crispEdges" }));
  });
  const steps = Array.from({ length: 40 }, (_, n) => heat(n / 39));
  const scale = element("div", { class: "list" });
  const bar = element("span", { style: `width:220px;height:8px;margin-top:4px;background:linear-gradient(90deg, ${steps.join(",")})` });
  scale.append(element("span", {}, "0"), bar, element("span", {}, written(most, "short", 0)));
  body.append(svg, scale);
};
