// Charts of a run as SVG, whose colours come from the style of the page.

const SVG = "http://www.w3.org/2000/svg";

function node(name, attributes, parent) {
  const one = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
  if (parent) parent.append(one);
  return one;
}

// Pieces without an empty step between them: lists of [step, value, low, high].
function runs(mean, low, high) {
  const out = [[]];
  mean.forEach((value, i) => {
    if (value === null) {
      if (out[out.length - 1].length) out.push([]);
    } else out[out.length - 1].push([i, value, low ? low[i] : value, high ? high[i] : value]);
  });
  return out.filter((piece) => piece.length);
}

function bounds(pieces, limit, floor, least) {
  let low = Infinity, high = -Infinity;
  for (const piece of pieces) {
    for (const [, value, a, b] of piece) {
      low = Math.min(low, value, a);
      high = Math.max(high, value, b);
    }
  }
  if (limit !== null && floor !== null) high = Math.max(high, limit);
  if (floor !== null) low = floor;
  if (high - low < least) [low, high] = floor === null ? [low - least / 2, high + least / 2] : [low, low + least];
  return [low, high];
}

function curves(svg, pieces, x, y) {
  for (const piece of pieces) {
    const upper = piece.map(([i, , , b]) => `${x(i)},${y(b)}`);
    const lower = piece.map(([i, , a]) => `${x(i)},${y(a)}`).reverse();
    if (piece.length > 1) {
      node("polygon", { class: "area", points: [...upper, ...lower].join(" ") }, svg);
      node("polyline", { class: "curve", points: piece.map(([i, v]) => `${x(i)},${y(v)}`).join(" ") }, svg);
    } else node("circle", { class: "point", cx: x(piece[0][0]), cy: y(piece[0][1]), r: 2 }, svg);
  }
}

// A small curve for a table cell. It repeats what the chart below says, so screen readers skip it.
export function spark(cell, mean, low, high, limit) {
  const svg = node("svg", { viewBox: "0 0 200 34", preserveAspectRatio: "none", "aria-hidden": "true" });
  const pieces = runs(mean, low, high);
  if (pieces.length) {
    const [bottom, top] = bounds(pieces, limit, limit === null ? null : 0, 1e-9);
    const x = (i) => (mean.length < 2 ? 100 : (i / (mean.length - 1)) * 200).toFixed(1);
    const y = (v) => (32 - ((v - bottom) / (top - bottom || 1)) * 30).toFixed(1);
    curves(svg, pieces, x, y);
    if (limit !== null) node("line", { class: "cut", x1: 0, x2: 200, y1: y(limit), y2: y(limit) }, svg);
  }
  cell.replaceChildren(svg);
}

const W = 340, H = 128, LEFT = 40, TOP = 8, BOTTOM = 22;

// A chart with axes. `options`: name, unit, limit, floor, ceiling, least, digits; `time` turns a step into text.
export function chart(mean, low, high, options, time) {
  const figure = document.createElement("figure");
  figure.className = "chart";
  const heading = document.createElement("h3");
  heading.append(options.name);
  const unit = document.createElement("span");
  unit.className = "soft";
  unit.textContent = [options.unit, options.limitWords && `threshold ${options.limitWords}`].filter(Boolean).join(", ");
  heading.append(unit);
  figure.append(heading);
  const pieces = runs(mean, low, high);
  const svg = node("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": words(mean, options) });
  figure.append(svg);
  if (!pieces.length) return figure;
  let [bottom, top] = bounds(pieces, options.limit ?? null, options.floor ?? null, options.least);
  if (options.ceiling) top = options.ceiling;
  const x = (i) => (LEFT + (mean.length < 2 ? 0.5 : i / (mean.length - 1)) * (W - LEFT - 6)).toFixed(1);
  const y = (v) => (H - BOTTOM - ((v - bottom) / (top - bottom)) * (H - TOP - BOTTOM)).toFixed(1);
  for (const value of [bottom, (bottom + top) / 2, top]) {
    node("line", { class: "axis", x1: LEFT, x2: W - 6, y1: y(value), y2: y(value) }, svg);
    const label = node("text", { x: LEFT - 5, y: +y(value) + 4, "text-anchor": "end" }, svg);
    label.textContent = value.toFixed(top - bottom < 1 ? 2 : top - bottom < 10 ? 1 : 0);
  }
  curves(svg, pieces, x, y);
  if (options.limit !== null && options.limit !== undefined) {
    node("line", { class: "cut", x1: LEFT, x2: W - 6, y1: y(options.limit), y2: y(options.limit) }, svg);
  }
  const ends = mean.length < 2 ? [[0, "middle"]] : [[0, "start"], [mean.length - 1, "end"]];
  for (const [i, anchor] of ends) {
    node("text", { x: x(i), y: H - 5, "text-anchor": anchor }, svg).textContent = time(i);
  }
  return figure;
}

function words(mean, options) {
  const known = mean.filter((v) => v !== null);
  if (!known.length) return `${options.name}: no values yet`;
  const digits = options.digits;
  const [least, most, last] = [Math.min(...known), Math.max(...known), known[known.length - 1]];
  return `${[options.name, options.unit].filter(Boolean).join(", ")}: between ${least.toFixed(digits)} and ${most.toFixed(digits)}, ` +
    `last ${last.toFixed(digits)}`;
}
