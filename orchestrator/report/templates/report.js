"use strict";
// Draws what the resolver found; computes nothing but means over seeds and divisions of tau.
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const root = document.documentElement;
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7f7f7f"];
const STATES = { "memorises": ["circle", "#D55E00"], "generalises": ["square", "#0072B2"], "not yet good": ["triangle-down", "#999999"], "not measured": ["x", "#7f7f7f"] };

// For n: viridis, and a lighter row of the same order where the ground is dark.
const ROWS = { light: ["#440154", "#443983", "#31688e", "#21918c", "#35b779", "#90d743"], dark: ["#c792ea", "#9a9cf0", "#5fb0e6", "#3fd0b0", "#7fdc6a", "#eee05a"] };
function colourOf(n) {
  const row = ROWS[root.dataset.theme], place = data.n.indexOf(n) / Math.max(1, data.n.length - 1);
  const exact = place * (row.length - 1), low = Math.floor(exact), high = Math.min(low + 1, row.length - 1);
  const channel = (i) => Math.round(parseInt(row[low].slice(i, i + 2), 16) * (1 - exact + low) + parseInt(row[high].slice(i, i + 2), 16) * (exact - low));
  return `rgb(${channel(1)},${channel(3)},${channel(5)})`;
}
const ticksOfN = () => ({ tickvals: data.n, ticktext: data.n.map(String) });
// Plotly reads some HTML in texts; names of users are none.
const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const number = (value) => value === null ? "–" : Number(value.toPrecision(3)).toLocaleString("en");

function layout(x, y, more = {}) {
  const style = getComputedStyle(root), ink = style.getPropertyValue("--ink").trim(), rule = style.getPropertyValue("--rule").trim();
  const axis = { gridcolor: rule, linecolor: rule, zeroline: false, automargin: true, exponentformat: "power" };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: 12 }, hovermode: "closest",
    // Above the plot, the tool bar has a place of its own: where nothing hovers it is always shown, and lay on the legend.
    margin: { l: 56, r: 12, t: 34, b: 44 }, legend: window.innerWidth < 640 ? { orientation: "h", yref: "container", y: 0, yanchor: "bottom", maxheight: 0.28 } : { y: 1 },
    xaxis: { ...axis, type: "log", title: { text: x }, ...more.xaxis }, yaxis: { ...axis, title: { text: y }, ...more.yaxis },
  };
}
const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };

function options(select, values, words = (value) => value) {
  values.forEach((value, i) => { const option = document.createElement("option"); option.value = i; option.textContent = words(value); select.append(option); });
}
function checks(fieldset, values, change) {
  for (const value of values) {
    const label = document.createElement("label"), box = document.createElement("input");
    box.type = "checkbox"; box.checked = true; box.value = value; box.addEventListener("change", change);
    label.append(box, ` ${value}`); fieldset.append(label);
  }
}
const checked = (fieldset) => new Set([...fieldset.querySelectorAll("input:checked")].map((box) => Number(box.value)));
const chosen = (select, values) => values[Number(select.value)];

// --- curves --------------------------------------------------------------------------------------------------------
function curves() {
  const measure = chosen(at("measure"), data.measures), group = chosen(at("group"), data.groups), scale = at("scale").value;
  const W = checked(at("filter-W")), n = checked(at("filter-n"));
  const shown = data.runs.filter((run) => run.group === group && W.has(run.W) && n.has(run.n) && run.curves[measure]).sort((a, b) => a.W - b.W || a.n - b.n);
  const unit = (run) => scale === "n" ? run.n : scale === "nW" ? run.n / run.W : 1;
  const sets = at("mean").checked ? means(shown, measure) : shown.map((run) => ({ ...run, x: data.taus[run.curves[measure].x], y: run.curves[measure].y, name: `seed ${run.seed}` }));
  const seen = new Set();
  const traces = sets.map((set) => {
    const name = `n = ${set.n}, ${data.axis} = ${set.W}`, first = !seen.has(name);
    seen.add(name);
    return {
      x: set.x.map((tau) => tau / unit(set)), y: set.y, name, legendgroup: name, showlegend: first, mode: set.x.length > 1 ? "lines" : "markers",
      line: { color: colourOf(set.n), dash: DASHES[data.W.indexOf(set.W) % DASHES.length], width: at("mean").checked ? 2.2 : 1.2 },
      marker: { color: colourOf(set.n) }, hovertemplate: `${plain(name)}, ${plain(set.name)}<br>%{x:.4~g}: %{y:.4~g}<extra></extra>`,
    };
  });
  const log = !measure.startsWith("f_mem") && !measure.startsWith("loss gap");
  const words = { tau: "τ (optimiser updates)", n: "τ / n", nW: `τ·${data.axis} / n` }[scale];
  Plotly.react("curve-plot", traces, layout(words, plain(measure), { yaxis: { type: log ? "log" : "linear" } }), config);
  at("curve-count").textContent = `${shown.length} of ${data.runs.length} runs.`;
}
function means(runs, measure) {
  const groups = new Map();
  for (const run of runs) { const key = `${run.n}/${run.W}`; groups.set(key, [...(groups.get(key) ?? []), run]); }
  return [...groups.values()].map((members) => {
    // Where all seeds were measured: beyond, the members would change along the line.
    const found = members.map((run) => new Map(data.taus[run.curves[measure].x].map((tau, i) => [tau, run.curves[measure].y[i]])));
    const x = [...found[0].keys()].filter((tau) => found.every((curve) => curve.has(tau)));
    return { ...members[0], x, y: x.map((tau) => found.reduce((sum, curve) => sum + curve.get(tau), 0) / found.length), name: `mean of ${members.length}` };
  });
}

// --- timescales ----------------------------------------------------------------------------------------------------
function timescales() {
  const index = Number(at("criterion").value), criterion = data.criteria[index], traces = [];
  data.conditions.forEach((condition, place) => {
    const colour = COLOURS[place % COLOURS.length], runs = data.runs.filter((run) => run.condition === place && run.crossings[index]);
    if (!runs.length) return;
    const fit = data.fits.find((one) => one.condition === place && one.criterion === criterion);
    const law = fit && fit.exponent !== null ? `${condition}: n^${number(fit.exponent)}` : `${condition}: no fit`;
    for (const [kind, symbol] of [["", "circle"], ["right", "triangle-up-open"], ["left", "triangle-down-open"]]) {
      const own = runs.filter((run) => run.crossings[index][1] === kind && run.crossings[index][0] !== null);
      if (own.length) traces.push({ x: own.map((run) => run.n), y: own.map((run) => run.crossings[index][0]), mode: "markers", legendgroup: condition, showlegend: false,
        marker: { color: colour, symbol, size: 9, opacity: 0.8 }, text: own.map((run) => plain(`${run.id}, seed ${run.seed}`)), hovertemplate: "n = %{x}, τ = %{y:.4~g}<br>%{text}<extra></extra>" });
    }
    const ends = [data.n[0], data.n[data.n.length - 1]];
    const line = fit && fit.exponent !== null ? ends.map((n) => fit.amplitude * n ** fit.exponent) : [null, null];
    traces.push({ x: ends, y: line, mode: "lines", name: plain(law), legendgroup: condition, line: { color: colour, dash: DASHES[place % DASHES.length] }, hoverinfo: "skip" });
  });
  Plotly.react("tau-plot", traces, layout("n (training images)", plain(`τ by ${criterion}`), { xaxis: ticksOfN(), yaxis: { type: "log", nticks: 8 } }), config);
}

// --- phase diagram -------------------------------------------------------------------------------------------------
function phases() {
  const budget = data.budgets[Number(at("budget-slider").value)], group = chosen(at("phase-group"), data.groups);
  at("budget").textContent = budget.tau.toLocaleString("en");
  const traces = [], points = budget.points.filter((point) => point.group === group);
  for (const [state, [symbol, colour]] of Object.entries(STATES)) {
    const own = points.filter((point) => (point.state ?? "not measured") === state);
    if (own.length) traces.push({ x: own.map((p) => p.n), y: own.map((p) => p.p), mode: "markers", name: state, marker: { symbol, color: colour, size: 14 },
      text: own.map((p) => `${data.axis} = ${p.W}, ${p.n_crossed} of ${p.n_runs} runs memorise<br>τ_mem ${number(p.tau_mem)}, τ_gen ${number(p.tau_gen)}`), hovertemplate: "n = %{x}, p = %{y}, %{text}<extra></extra>" });
  }
  const mark = (found, name, colour, symbol) => {
    const known = found.filter((b) => b.low !== null || b.high !== null);
    if (!known.length) return;
    const middle = (b) => b.estimate ?? (b.low !== null && b.high !== null ? Math.sqrt(b.low * b.high) : b.low ?? b.high);
    const shape = (b) => b.estimate !== null ? symbol : b.high === null ? "triangle-right" : "triangle-left";
    const end = (b, side) => Math.abs((b[side] ?? middle(b)) - middle(b));
    traces.push({ x: known.map(middle), y: known.map((b) => b.p), mode: known.every((b) => b.estimate !== null) ? "lines+markers" : "markers", name,
      marker: { color: colour, symbol: known.map(shape), size: 10 }, line: { color: colour, width: 1 },
      error_x: { type: "data", symmetric: false, array: known.map((b) => end(b, "high")), arrayminus: known.map((b) => end(b, "low")), color: colour },
      text: known.map((b) => plain(`${data.axis} = ${b.W}: ${number(b.estimate)} [${number(b.low)}, ${number(b.high)}] ${b.words}`)), hovertemplate: "%{text}<extra></extra>" });
  };
  const ink = getComputedStyle(root).getPropertyValue("--ink").trim();
  mark(budget.boundaries.filter((b) => b.group === group), "n*(p; τ)", ink, "diamond");
  mark(data.lines.filter((line) => line.group === group), "n* without end", "#009E73", "cross");
  const last = data.n[data.n.length - 1], near = data.lines.map((line) => line.estimate).filter((n) => n !== null && n <= 4 * last);
  const widths = [...new Map(data.budgets.flatMap((b) => b.points).map((p) => [p.p, p.W]))].sort((a, b) => a[0] - b[0]);
  Plotly.react("phase-plot", traces, layout("n (training images)", "p (parameters)", {
    xaxis: { ...ticksOfN(), range: [Math.log10(data.n[0] / 1.4), Math.log10(Math.max(last, ...near) * 1.4)] },
    yaxis: { type: "log", tickvals: widths.map(([p]) => p), ticktext: widths.map(([p, W]) => `${p.toLocaleString("en")}${data.axis === "W" ? `<br>W = ${W}` : ""}`), range: [Math.log10(widths[0][0] / 1.8), Math.log10(widths[widths.length - 1][0] * 1.8)] },
  }), config);
}

// --- runs ----------------------------------------------------------------------------------------------------------
function runs() {
  const words = at("run-filter").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const body = at("run-table").tBodies[0], shown = data.table.filter((row) => words.every((word) => row.words.includes(word)));
  body.replaceChildren(...shown.map((row) => {
    const line = document.createElement("tr");
    for (const cell of row.cells) { const td = document.createElement("td"); td.textContent = cell ?? ""; line.append(td); }
    return line;
  }));
  at("run-count").textContent = `${shown.length} of ${data.table.length}`;
}

// --- theme and start -----------------------------------------------------------------------------------------------
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const draw = [];
function theme(name) { root.dataset.theme = name; draw.forEach((one) => one()); }
at("theme").addEventListener("click", () => theme(root.dataset.theme === "dark" ? "light" : "dark"));
dark.addEventListener("change", () => theme(dark.matches ? "dark" : "light"));
root.dataset.theme = dark.matches ? "dark" : "light";
if (data.runs.length) {
  options(at("measure"), data.measures); options(at("group"), data.groups); options(at("criterion"), data.criteria);
  checks(at("filter-W"), data.W, curves); checks(at("filter-n"), data.n, curves);
  for (const id of ["measure", "scale", "group", "mean"]) at(id).addEventListener("change", curves);
  at("criterion").addEventListener("change", timescales);
  draw.push(curves, timescales);
}
if (at("budget-slider")) {
  options(at("phase-group"), data.groups);
  const slider = at("budget-slider"); slider.max = data.budgets.length - 1; slider.value = slider.max;
  slider.addEventListener("input", phases); at("phase-group").addEventListener("change", phases);
  draw.push(phases);
}
at("run-filter").addEventListener("input", runs);
for (const form of document.forms) form.addEventListener("submit", (event) => event.preventDefault());
draw.forEach((one) => one()); runs();
root.dataset.ready = "true";
