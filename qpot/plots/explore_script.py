"""The script of the page of `explore`: it draws what the library has computed for a position of the sliders."""

from __future__ import annotations

SCRIPT = r"""
"use strict";
const D = JSON.parse(document.getElementById("data").textContent), L = D.law, by = id => document.getElementById(id);
const state = { e: 0, n: 0, s: 0, layer: 0, routes: L ? "start" : "all" };
// The position after the last duration is the long run.
const last = L ? L.durations.length : 0, line = D.view.kind === "line", narrow = () => window.innerWidth < 760;
const exact = () => !L || L.known[state.e];

// Numbers as a person writes them.
function short(v) {
  if (!isFinite(v)) return "∞";
  const s = Math.abs(v) >= 1e5 || (v !== 0 && Math.abs(v) < 1e-3) ? v.toExponential(2) : String(Number(v.toPrecision(3)));
  return s.replace(/\.?0+e/, "e").replace("e+", "e");
}
function percent(p) {
  if (p === null) return "not known";
  if (p > 0.9995 && p < 1) return "> 99.9 %";
  return p > 0 && p < 5e-4 ? "< 0.1 %" : (100 * p).toFixed(1) + " %";
}
function share(q) {
  if (q === null) return "?";
  return exact() ? percent(q) : q === 0 ? "–" : q === 1 ? "here" : "tie";
}
function niceStep(range, count) {
  const raw = range / count, power = Math.pow(10, Math.floor(Math.log10(raw)));
  return power * [1, 2, 5, 10].find(f => f * power >= raw * 0.999);
}
function nearest(values, v) {
  const off = x => Math.abs(Math.log(x / v));
  return values.reduce((best, x, i) => off(x) < off(values[best]) ? i : best, 0);
}
const largest = q => q.reduce((best, v, i) => v > q[best] ? i : best, 0);

// The law at this position.
function law() {
  if (!L) return [1];
  return state.n < last ? L.table[state.e][state.n][state.s] : L.longRun[state.e].concat(D.leadsOut ? [0] : []);
}

// The map.
function heightAt(f, x) {
  const X = f.x, n = X.length;
  if (x < X[0] || x > X[n - 1]) return null;
  const h = (X[n - 1] - X[0]) / (n - 1), i = Math.min(n - 2, Math.floor((x - X[0]) / h)), t = (x - X[i]) / h;
  return f.z[i] === null || f.z[i + 1] === null ? null : f.z[i] * (1 - t) + f.z[i + 1] * t;
}
const heights = (x, y) => line ? x.map(v => D.layers.length ? heightAt(D.layers[state.layer], v) : 0) : y;

function background() {
  if (!D.layers.length) return [];
  const f = D.layers[state.layer], hover = f.name + " %{z:.4g}<extra></extra>";
  if (line) return [{ x: f.x, y: f.z, mode: "lines", line: { color: "#1d2330", width: 2 }, hoverinfo: "y" }];
  const step = niceStep(f.top - f.low || 1, 22), start = step * Math.ceil(f.low / step);
  const end = step * Math.floor(f.top / step);
  return [{
    type: "contour", x: f.x, y: f.y, z: f.z, colorscale: "Cividis", zmin: f.low, zmax: f.top, autocontour: false,
    contours: { start: start, end: end, size: step }, line: { width: 0.4, color: "rgba(255,255,255,.7)" },
    hoverongaps: false, hovertemplate: hover, showscale: !narrow(),
    colorbar: { thickness: 12, len: 0.96, x: 1.01, dtick: (end - start) / step > 12 ? 4 * step : 2 * step, tick0: start },
  }];
}
function chosenRoutes() {
  if (state.routes === "none") return [];
  if (state.routes === "all") return D.routes;
  if (state.routes === "start") return D.routes.filter(r => !L || r.i === L.starts[state.s]);
  return D.routes.filter(r => r.i + "-" + r.j === state.routes);
}
function routeTraces() {
  const out = [];
  for (const r of chosenRoutes()) for (const p of r.parts) {
    const y = heights(p.x, p.y), colour = p.up ? "#D55E00" : "#56B4E9", hover = "%{text}<extra></extra>";
    const stroke = { color: colour, width: 3, dash: p.up ? "solid" : "dash" };
    out.push({ x: p.x, y: y, mode: "lines", line: stroke, text: r.text, hovertemplate: hover });
    const m = Math.floor(0.55 * p.x.length), a = Math.max(0, m - 2);
    const head = { symbol: "arrow", angleref: "previous", size: [0, 16], color: colour, opacity: 1 };
    head.line = { color: "white", width: 0.7 };
    if (m > 1) out.push({ x: [p.x[a], p.x[m]], y: [y[a], y[m]], mode: "markers", hoverinfo: "skip", marker: head });
  }
  return out;
}
const size = p => 9 + 41 * Math.sqrt(p || 0);
function traces() {
  const p = law(), out = background(), hover = "%{text}<extra></extra>";
  for (const c of D.cycles) {
    out.push({ x: c.x, y: c.y, mode: "lines", hoverinfo: "skip", line: { color: c.colour, width: 3, dash: c.dash } });
  }
  out.push(...routeTraces());
  const points = (items, marker) => {
    const x = items.map(s => s.x), y = heights(x, items.map(s => s.y));
    out.push({ x: x, y: y, mode: "markers", text: items.map(s => s.text), hovertemplate: hover, marker: marker });
  };
  points(D.saddles, { symbol: "x", size: 10, color: "white", line: { color: "black", width: 1.3 } });
  const selected = D.states.filter(s => s.selected);
  points(selected, { symbol: "circle", size: selected.map(s => 8 + size(p[s.id])), color: "white", opacity: 1,
    line: { color: "black", width: 2.5 } });
  points(D.states, { size: D.states.map(s => size(p[s.id])), opacity: D.states.map(s => s.off ? 0.6 : 1),
    color: D.states.map(s => s.colour),
    line: { color: "white", width: 1.5 } });
  return out;
}
function labels() {
  const p = law(), v = D.view, x = D.states.map(s => s.x), y = heights(x, D.states.map(s => s.y));
  return D.states.map((s, i) => ({
    x: x[i], y: y[i], showarrow: false, borderpad: 2,
    text: "<b>" + s.id + "</b>" + (L ? " " + share(p[i]) : "") + (s.off ? "<br>" + short(s.off) + " off the " + v.kind : ""),
    yshift: -((s.off ? 26 : 18) + 20 * Math.sqrt(p[i] || 0)), bgcolor: "rgba(255,255,255,.85)",
    font: { size: 12, color: "#1d2330" },
  }));
}
function rangeOfHeights() {
  if (!D.layers.length) return [-1, 1];
  const f = D.layers[state.layer], room = f.top - f.low || 1;
  return [f.low - 0.22 * room, f.top + 0.05 * room];
}
function drawMap() {
  const axis = { zeroline: false, showgrid: line || !D.layers.length }, v = D.view;
  const name = D.layers.length ? D.layers[state.layer].name : "";
  const x = { ...axis, title: { text: v.titles[0] }, range: [v.lower[0], v.upper[0]], constrain: "domain" };
  const y = line ? { ...axis, title: { text: name }, range: rangeOfHeights() }
    : { ...axis, title: { text: v.titles[1] }, range: [v.lower[1], v.upper[1]], constrain: "domain" };
  if (v.equal && !line) y.scaleanchor = "x";
  Plotly.react("map", traces(), {
    margin: { l: narrow() ? 46 : 58, r: 8, t: 8, b: 44 }, showlegend: false, hovermode: "closest",
    annotations: labels(), dragmode: narrow() ? false : "pan", xaxis: x, yaxis: y,
  }, { responsive: true, displayModeBar: false, scrollZoom: !narrow() });
}

// Beside the map: the course over time, bars, and what to conclude.
function drawCourse() {
  if (!L) return;
  const rows = L.table[state.e], ends = [L.durations[0], L.durations[last - 1]];
  const shown = D.names.map((_, j) => j).filter(j => D.names.length <= 8 || rows.some(r => r[state.s][j] > 0.05));
  const at = state.n < last ? L.durations[state.n] : ends[1];
  Plotly.react("course", shown.map(j => ({
    x: L.durations, y: rows.map(r => r[state.s][j]), mode: "lines", name: D.names[j],
    line: { color: D.colours[j], width: 2.5, shape: exact() ? "linear" : "hv" },
    hovertemplate: D.names[j] + ": %{y:.3f}<extra></extra>",
  })), {
    margin: { l: 44, r: 8, t: 6, b: 42 }, showlegend: false, hovermode: "x",
    xaxis: { type: "log", title: { text: L.inTime ? "time" : "number of steps" }, exponentformat: "power",
      tickfont: { size: 11 }, dtick: Math.max(1, Math.ceil(Math.log10(ends[1] / ends[0]) / 6)) },
    yaxis: { range: [-0.03, 1.03], title: { text: exact() ? "probability" : "held" } },
    shapes: [{ type: "line", x0: at, x1: at, yref: "paper", y0: 0, y1: 1, line: { color: "#505a6b", dash: "dot" } }],
  }, { responsive: true, displayModeBar: false });
}
function element(kind, name, text) {
  const made = document.createElement(kind);
  made.className = name;
  made.textContent = text;
  return made;
}
function bars() {
  const p = law(), far = L ? L.longRun[state.e] : [], ids = D.names.map((_, j) => j);
  const order = ids.length > 10 ? ids.sort((a, b) => (p[b] || 0) - (p[a] || 0)).slice(0, 10) : ids;
  by("bars").replaceChildren(...order.map(j => {
    const row = element("li", "", ""), track = element("div", "track", ""), fill = element("div", "fill", "");
    row.dataset.state = j;
    row.dataset.probability = p[j] === null ? "" : p[j];
    fill.style.width = 100 * (p[j] || 0) + "%";
    fill.style.background = D.colours[j];
    track.append(fill);
    if (far[j] !== undefined && far[j] !== null && exact()) {
      const mark = element("div", "mark", "");
      mark.style.left = "calc(" + 100 * far[j] + "% - 1px)";
      mark.title = "long run: " + percent(far[j]);
      track.append(mark);
    }
    row.append(element("span", "", D.names[j]), track, element("span", "", share(p[j])));
    return row;
  }));
  by("more").textContent = order.length < D.names.length ? "and " + (D.names.length - order.length) + " more" : "";
}
function sentence() {
  const p = law(), far = L.longRun[state.e], name = j => D.names[j].replace(" ✓", ""), out = [];
  const length = short(L.durations[state.n]), span = L.inTime ? "At time " + length : "After " + length + " steps";
  const lastly = "In the long run" + (D.leadsOut ? ", as long as it stays in the box," : "");
  const when = state.n < last ? span + " from " + name(L.starts[state.s]) : lastly;
  if (p.some(v => v === null)) {
    out.push(state.n < last ? when + " the place is not known: it may have taken a leg of unknown cost."
      : "There is no single law of the long run.");
  } else if (exact()) {
    const most = p[largest(p)], equal = p.map((v, j) => v > most - 1e-6 ? name(j) : "").filter(Boolean);
    out.push(when + (equal.length > 1 ? " the most likely places are " : " the most likely place is ") + equal.join(" and ")
      + " (" + percent(most) + (equal.length > 1 ? " each)." : ")."));
  } else {
    const held = p.map((v, j) => v > 0 ? name(j) : "").filter(Boolean);
    const tie = " exit costs tie with the time: one of the places ";
    out.push(when + (held.length > 1 ? tie : " the chain is held by ") + held.join(", ") + ", to exponential order.");
  }
  if (exact() && state.n < last && !far.some(v => v === null)) {
    const most = far[largest(far)], tie = far.filter(v => v > most - 1e-6).length;
    out.push(lastly + (tie > 1 ? " " + tie + " minima have equal shares of " + percent(most) + "."
      : " " + name(largest(far)) + " leads with " + percent(most) + "."));
  }
  return out.join(" ");
}
function doubts() {
  const e = L.epsilons[state.e], ratio = D.leastExit === null ? Infinity : D.leastExit / e, out = [];
  if (ratio < 3) {
    out.push("The cheapest escape costs only " + short(ratio) + " ε here. Laws of rare escapes are rough at such noise: "
      + "check by simulation.");
  }
  const factor = D.error === null ? Infinity : Math.exp(D.error / e);
  if (factor > 1.1) {
    out.push("Errors of costs " + (D.error === null ? "without a bound" : "up to " + short(D.error)) + " may change rates by "
      + (factor > 1e3 ? "orders of magnitude" : "a factor of " + short(factor)) + " at this ε"
      + (exact() ? ", and the probabilities with them." : "."));
  }
  return out.join(" ");
}
function draw() {
  if (L) {
    const e = short(L.epsilons[state.e]), rate = short(L.rates[state.e]);
    by("level").textContent = L.inTime ? e : rate + "  (ε = " + e + ")";
    by("duration").textContent = state.n < last ? short(L.durations[state.n]) : "∞, the long run";
    by("now").textContent = sentence();
    by("doubts").textContent = doubts();
    by("slider-level").value = state.e;
    by("slider-duration").value = state.n;
    by("start").value = state.s;
    document.body.dataset.epsilon = L.epsilons[state.e];
    document.body.dataset.duration = state.n < last ? L.durations[state.n] : "inf";
  }
  bars();
  drawMap();
  drawCourse();
}

// What the address asks for, and what a hand moves.
function readHash() {
  const query = new URLSearchParams(location.hash.slice(1));
  const positive = key => parseFloat(query.get(key)) > 0 ? parseFloat(query.get(key)) : null;
  if (L) {
    if (positive("epsilon")) state.e = nearest(L.epsilons, positive("epsilon"));
    if (positive("learning_rate")) state.e = nearest(L.rates, positive("learning_rate"));
    const key = query.has("time") ? "time" : "steps", start = L.starts.indexOf(Number(query.get("start")));
    if (query.get(key) === "inf") state.n = last;
    else if (positive(key)) state.n = nearest(L.durations, positive(key));
    if (query.has("start") && start >= 0) state.s = start;
  }
  const layer = parseInt(query.get("layer")), routes = query.get("routes");
  if (layer >= 0 && layer < D.layers.length) state.layer = by("layer").value = layer;
  if (["all", "none", ...D.routes.map(r => r.i + "-" + r.j)].includes(routes)) state.routes = by("routes").value = routes;
}
function options(select, items) {
  select.replaceChildren(...items.map(([value, text]) => {
    const made = element("option", "", text);
    made.value = value;
    return made;
  }));
}
function listen(id, kind, key, read) {
  by(id).addEventListener(kind, event => { state[key] = read(event.target.value); draw(); });
}
options(by("layer"), D.layers.map((f, i) => [i, f.name]));
options(by("routes"), [...(L ? [["start", "from the start"]] : []), ["all", "all"], ["none", "none"],
  ...[...new Set(D.routes.map(r => r.i + "-" + r.j))].map(key => [key, key.replace("-", " → ")])]);
by("routes").parentElement.hidden = !D.routes.length;
by("layer").parentElement.hidden = !D.layers.length;
listen("layer", "change", "layer", Number);
listen("routes", "change", "routes", String);
if (L) {
  [state.e, state.n, state.s] = L.initial;
  options(by("start"), L.starts.map((i, s) => [s, D.names[i].replace(" ✓", "")]));
  by("slider-level").max = L.epsilons.length - 1;
  by("slider-duration").max = last;
  listen("slider-level", "input", "e", Number);
  listen("slider-duration", "input", "n", Number);
  listen("start", "change", "s", Number);
} else by("controls").hidden = by("course").hidden = true;
readHash();
draw();
window.addEventListener("hashchange", () => { readHash(); draw(); });
"""
