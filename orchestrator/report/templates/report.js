"use strict";
// Draws what the resolver found; computes nothing but means over seeds and divisions of tau.
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const root = document.documentElement;
const palette = data.palette, conditions = palette.conditions;
const cycled = (list, place) => list[place % list.length];
const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
const inked = (colour) => colour === palette.ink ? css("--ink") : colour;  // black is lost on a dark ground
const colourOf = (n) => palette.n[root.dataset.theme][data.n.indexOf(n)];
const ticksOfN = () => ({ tickvals: data.n, ticktext: data.n.map(String) });
// Plotly reads some HTML in texts; names of users are none.
const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const number = (value) => value === null ? "–" : Number(value.toPrecision(3)).toLocaleString("en");

function layout(x, y, more = {}) {
  const ink = css("--ink"), rule = css("--rule");
  const axis = { gridcolor: rule, linecolor: rule, zeroline: false, automargin: true, exponentformat: "power" };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: 12 }, hovermode: "closest",
    // Above the plot, the tool bar has a place of its own: where nothing hovers it is always shown, and lay on the legend.
    margin: { l: 56, r: 12, t: 34, b: 44 }, legend: more.narrow || window.innerWidth < 640 ? { orientation: "h", yref: "container", y: 0, yanchor: "bottom", maxheight: 0.28 } : { y: 1 },
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
      line: { color: colourOf(set.n), dash: cycled(conditions.dashes, data.W.indexOf(set.W)), width: at("mean").checked ? 2.2 : 1.2 },
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
    const colour = inked(cycled(conditions.colours, place)), runs = data.runs.filter((run) => run.condition === place && run.crossings[index]);
    if (!runs.length) return;
    const fit = data.fits.find((one) => one.condition === place && one.criterion === criterion);
    const law = fit && fit.exponent !== null ? `${condition}: n^${number(fit.exponent)} [${number(fit.low)}, ${number(fit.high)}]` : `${condition}: no fit`;
    for (const [kind, symbol] of [["", cycled(conditions.symbols, place)], ["right", "triangle-up-open"], ["left", "triangle-down-open"]]) {
      const own = runs.filter((run) => run.crossings[index][1] === kind && run.crossings[index][0] !== null);
      if (own.length) traces.push({ x: own.map((run) => run.n), y: own.map((run) => run.crossings[index][0]), mode: "markers", legendgroup: condition, showlegend: false,
        marker: { color: colour, symbol, size: 9, opacity: 0.8 }, text: own.map((run) => plain(`${run.id}, seed ${run.seed}`)), hovertemplate: "n = %{x}, τ = %{y:.4~g}<br>%{text}<extra></extra>" });
    }
    const ends = [data.n[0], data.n[data.n.length - 1]];
    const line = fit && fit.exponent !== null ? ends.map((n) => fit.amplitude * n ** fit.exponent) : [null, null];
    traces.push({ x: ends, y: line, mode: "lines", name: plain(law), legendgroup: condition, line: { color: colour, dash: cycled(conditions.dashes, place) }, hoverinfo: "skip" });
  });
  Plotly.react("tau-plot", traces, layout("n (training images)", plain(`τ by ${criterion}`), { narrow: true, xaxis: ticksOfN(), yaxis: { type: "log", nticks: 8 } }), config);
}

// --- phase diagram -------------------------------------------------------------------------------------------------
function phases() {
  const budget = data.budgets[Number(at("budget-slider").value)], group = chosen(at("phase-group"), data.groups);
  at("budget").textContent = budget.tau.toLocaleString("en");
  const traces = [], points = budget.points.filter((point) => point.group === group);
  for (const [state, look] of Object.entries(palette.states)) {
    const own = points.filter((point) => (point.state ?? "not measured") === state);
    // Hollow: not trained so long, and shown as it was at its last τ. What memorises goes on memorising.
    const symbol = (p) => p.budget < budget.tau && p.state !== "memorises" && !look.symbol.endsWith("-open") ? `${look.symbol}-open` : look.symbol;
    if (own.length) traces.push({ x: own.map((p) => p.n), y: own.map((p) => p.p), mode: "markers", name: look.words, marker: { symbol: own.map(symbol), color: inked(look.colour), size: 13, line: { color: inked(look.colour), width: 1.5 } },
      text: own.map((p) => `${data.axis} = ${p.W}, τ ≤ ${number(p.budget)}: ${p.n_crossed} of ${p.n_runs} runs memorise<br>τ_mem ${number(p.tau_mem)}, τ_gen ${number(p.tau_gen)}`), hovertemplate: "n = %{x}, p = %{y}, %{text}<extra></extra>" });
  }
  const middle = (b) => b.estimate ?? b.low ?? b.high;
  const mark = (ends, name, look, up, hollow = () => false, dash = "solid") => {
    const known = ends.filter((b) => middle(b) !== null).sort((a, b) => a.p - b.p);
    if (!known.length) return;
    const colour = inked(look.colour), shape = (b) => b.estimate === null ? (b.high === null ? "triangle-right" : "triangle-left") : hollow(b) ? `${look.symbol}-open` : look.symbol;
    const end = (b, side) => Math.abs((b[side] ?? middle(b)) - middle(b));
    // Above its p, so that the marks of runs stay visible.
    traces.push({ x: known.map(middle), y: known.map((b) => b.p * up), mode: "lines+markers", name,
      marker: { color: colour, symbol: known.map(shape), size: 9 }, line: { color: colour, width: 1.5, dash },
      error_x: { type: "data", symmetric: false, array: known.map((b) => end(b, "high")), arrayminus: known.map((b) => end(b, "low")), color: colour, thickness: 1.2, width: 3 },
      text: known.map((b) => plain(`${data.axis} = ${b.W}${b.tau ? `, τ = ${number(b.tau)}` : ""}: ${number(b.estimate)} [${number(b.low)}, ${number(b.high)}] ${b.words}`)), hovertemplate: "%{text}<extra></extra>" });
  };
  const widths = [...new Map(data.budgets.flatMap((b) => b.points).map((p) => [p.p, p.W]))].sort((a, b) => a[0] - b[0]);
  const span = widths[widths.length - 1][0] / widths[0][0], up = (3.2 * span) ** 0.05;
  const lines = data.lines.filter((line) => line.group === group);
  mark(budget.boundaries.filter((b) => b.group === group), `n*(p; τ = ${budget.tau.toLocaleString("en")})`, palette.boundary, up, (b) => b.tau < budget.tau);
  mark(lines.filter((line) => line.converged), palette.line.converged.words, palette.line.converged, up * up);
  mark(lines.filter((line) => !line.converged), `line, not converged at τ = ${data.open_at}`, palette.line.open, up * up, undefined, "dash");
  const last = data.n[data.n.length - 1], near = data.lines.map(middle);
  Plotly.react("phase-plot", traces, layout("n (training images)", "p (parameters)", {
    narrow: true,
    xaxis: { ...ticksOfN(), range: [Math.log10(data.n[0] / 1.4), Math.log10(Math.max(last, ...near) * 1.4)] },
    yaxis: { type: "log", tickvals: widths.map(([p]) => p), ticktext: widths.map(([p, W]) => `${p.toLocaleString("en")}${data.axis === "W" ? `<br>W = ${W}` : ""}`), range: [Math.log10(widths[0][0] / 1.8), Math.log10(widths[widths.length - 1][0] * 2.2)] },
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
  options(at("measure"), data.measures); options(at("group"), data.groups); options(at("criterion"), data.criteria); at("criterion").value = data.criterion;
  checks(at("filter-W"), data.W, curves); checks(at("filter-n"), data.n, curves);
  for (const id of ["measure", "scale", "group", "mean"]) at(id).addEventListener("change", curves);
  at("criterion").addEventListener("change", timescales);
  draw.push(curves, timescales);
}
if (at("budget-slider")) {
  options(at("phase-group"), data.groups); at("phase-runs").hidden = data.groups.length < 2;
  const slider = at("budget-slider"); slider.max = data.budgets.length - 1; slider.value = slider.max;
  slider.addEventListener("input", phases); at("phase-group").addEventListener("change", phases);
  draw.push(phases);
}
at("run-filter").addEventListener("input", runs);
for (const form of document.forms) form.addEventListener("submit", (event) => event.preventDefault());
draw.forEach((one) => one()); runs();
root.dataset.ready = "true";
