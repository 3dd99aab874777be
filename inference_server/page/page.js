// The page's script: a form generated from the signature, its prediction and explanation, drift, and code snippets.
// It calls the server's own routes by relative URLs, so the page works below any path.

const find = (id) => document.getElementById(id);
const form = find("form");
const MAX_CONTRIBUTIONS = 14; // further contributions are shown as one

let model, drift, latest;
const fields = new Map(); // feature name → its inputs

// --- helpers ---

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

function draw(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

const sixDigits = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });
const fiveDigits = new Intl.NumberFormat("en", { maximumSignificantDigits: 5 });
const signed = new Intl.NumberFormat("en", { maximumSignificantDigits: 4, signDisplay: "exceptZero" });
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const formatValue = (number) => (number === null ? "missing" : sixDigits.format(number));
const rounded = (number, digits) => String(Number(number.toPrecision(digits)));

function direction(number, positive, negative) {
  if (number > 0) return positive;
  return number < 0 ? negative : "";
}

class ServerError extends Error {
  constructor(status, error) {
    super(error.message ?? `the server answered ${status}`);
    this.field = error.field ?? "";
  }
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(0, { message: "The server does not respond." });
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new ServerError(response.status, answer.error ?? {});
  return answer;
}

// --- the form ---

// A slider follows the training distribution: its edges are tenths of the rows, so long tails don't dominate it.
function scale(feature, bins) {
  const edges = bins?.edges ?? (feature.min === null ? null : [feature.min, feature.max]);
  if (!edges || edges[0] === edges.at(-1) || feature.categorical) return null;
  const last = edges.length - 1;
  return {
    at(position) {
      const offset = position * last;
      const bin = Math.min(Math.floor(offset), last - 1);
      return edges[bin] + (offset - bin) * (edges[bin + 1] - edges[bin]);
    },
    position(value) {
      if (value <= edges[0]) return 0;
      const bin = edges.findIndex((edge) => value < edge);
      return bin < 0 ? 1 : (bin - 1 + (value - edges[bin - 1]) / (edges[bin] - edges[bin - 1])) / last;
    },
  };
}

function feature(described, bins, index) {
  const text = make("input", { type: "text", id: `f${index}`, name: described.name, autocomplete: "off", placeholder: "missing", "aria-describedby": `r${index} n${index}` });
  text.inputMode = "decimal";
  const field = { described, text, slider: null, scale: scale(described, bins) };
  const parts = [make("label", { htmlFor: `f${index}`, textContent: described.name }), text];
  if (field.scale) {
    field.slider = make("input", { type: "range", min: 0, max: 1000, className: "slide", "aria-label": `${described.name}, as a slider` });
    field.slider.addEventListener("input", () => {
      text.value = rounded(field.scale.at(field.slider.value / 1000), 5);
      changed(field);
    });
    parts.push(field.slider);
  }
  const range = make("p", { className: "range", id: `r${index}` });
  if (described.categorical) range.append("a category’s code: 0, 1, 2 …");
  else if (described.min !== null) {
    const [low, high] = [described.min, described.max].map((end) => make("span", { textContent: fiveDigits.format(end) }));
    range.append(low, make("span", { className: "hidden", textContent: " to " }), high);
  }
  field.note = make("p", { className: "note", id: `n${index}` });
  text.addEventListener("input", () => changed(field));
  fields.set(described.name, field);
  return make("div", { className: "feature" }, ...parts, range, field.note);
}

// Return a field's value: a number, null for missing, NaN for invalid text.
function fieldValue(field) {
  const text = field.text.value.trim();
  return text === "" ? null : Number(text);
}

function note(field, text, wrong = false) {
  field.note.textContent = text;
  field.note.classList.toggle("wrong", wrong);
  field.text.setAttribute("aria-invalid", String(wrong));
}

function updateField(field) {
  const value = fieldValue(field);
  if (Number.isNaN(value)) return note(field, "not a number", true);
  const { min, max, categorical } = field.described;
  if (field.slider) {
    field.slider.value = Math.round(1000 * field.scale.position(value ?? field.described.mean ?? min));
    field.slider.setAttribute("aria-valuetext", formatValue(value));
  }
  const outside = value !== null && min !== null && !categorical && (value < min || value > max);
  return note(field, outside ? "outside the training range" : "");
}

let predictTimer;
function changed(field) {
  updateField(field);
  clearTimeout(predictTimer);
  predictTimer = setTimeout(predict, 90);
}

function reset() {
  for (const field of fields.values()) {
    const { mean, categorical } = field.described;
    if (mean === null) field.text.value = "";
    else field.text.value = categorical ? String(Math.round(mean)) : rounded(mean, 4);
    updateField(field);
  }
  predict();
}

// --- the prediction ---

let pendingRequest;
async function predict() {
  const row = Object.fromEntries([...fields].map(([name, field]) => [name, fieldValue(field)]));
  if (Object.values(row).some(Number.isNaN)) return problem("A field contains a value that is not a number.");
  snippets(row);
  pendingRequest?.abort();
  pendingRequest = new AbortController();
  try {
    // Not `/predict`: rows of this page aren't traffic and must not count as drift.
    const answer = await request("explain", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ instances: [row] }),
      signal: pendingRequest.signal,
    });
    latest = { row, ...answer.explanations[0] };
    problem("");
    showPrediction();
    showContributions();
  } catch (error) {
    if (error.name === "AbortError") return;
    const field = fields.get(error.field?.replace(/^instances\[0\]\./, ""));
    if (field) note(field, error.message, true);
    problem(field ? `${field.described.name}: ${error.message}` : error.message ?? String(error));
  }
}

function problem(text) {
  find("problem").textContent = text;
  find("problem").hidden = !text;
  find("value").classList.toggle("stale", Boolean(text));
}

function showPrediction() {
  const value = find("value");
  const many = Array.isArray(latest.prediction);
  value.classList.toggle("many", many);
  if (many) {
    value.replaceChildren(...latest.prediction.map((share, index) => {
      const fill = make("i");
      fill.style.width = `${100 * share}%`;
      return make("span", { className: "class" }, `Class ${index}`, make("span", { className: "bar" }, fill), make("b", { textContent: percent.format(share) }));
    }));
  } else {
    const likely = model.objective === "binary:logistic" ? ` · ${percent.format(latest.prediction)}` : "";
    value.replaceChildren(sixDigits.format(latest.prediction), make("small", { textContent: model.target + likely }));
  }
}

const SCALES = {
  "binary:logistic": "Contributions add up on the scale of log-odds, before they become a probability.",
  "reg:logistic": "Contributions add up on the scale of log-odds.",
  "count:poisson": "Contributions add up on the scale of logarithms.",
  "reg:gamma": "Contributions add up on the scale of logarithms.",
  "reg:tweedie": "Contributions add up on the scale of logarithms.",
  "multi:softprob": "Contributions add up to the class’s score, before all scores become shares.",
  "multi:softmax": "Contributions add up to the class’s score; the highest wins.",
};

function waterfallSteps() {
  const group = Array.isArray(latest.bias) ? Number(find("class").value) || 0 : null;
  const pick = (value) => (group === null ? value : value[group]);
  const all = Object.entries(latest.contributions).map(([name, share]) => ({ name, value: latest.row[name], share: pick(share) }));
  all.sort((left, right) => Math.abs(right.share) - Math.abs(left.share));
  const rest = all.splice(MAX_CONTRIBUTIONS);
  if (rest.length) all.push({ name: `${rest.length} others`, share: rest.reduce((sum, each) => sum + each.share, 0) });
  return { bias: pick(latest.bias), margin: pick(latest.margin), shares: all };
}

// A waterfall chart: from the average prediction, feature by feature, to this row's prediction.
function showContributions() {
  const { bias, margin, shares } = waterfallSteps();
  let sum = bias;
  const walk = shares.map((each) => ({ ...each, from: sum, to: (sum += each.share) }));
  const places = [bias, margin, ...walk.map((each) => each.to)];
  const low = Math.min(...places);
  const width = Math.max(...places) - low || 1;
  const position = (value) => (100 * (value - low)) / width;
  const bar = (from, to) => {
    const fill = make("i", { className: direction(to - from, "up", "down") });
    fill.style.left = `${position(Math.min(from, to))}%`;
    fill.style.width = `${position(Math.max(from, to)) - position(Math.min(from, to))}%`;
    const track = make("span", { className: "bar", "aria-hidden": "true" }, fill);
    track.style.setProperty("--start", `${position(bias)}%`);
    return track;
  };
  const end = (name, at, from) => make("tr", { className: "end" }, make("th", { scope: "row", textContent: name }), make("td"), make("td", {}, bar(from, at)), make("td", { className: "number", textContent: sixDigits.format(at) }));
  const rows = walk.map(({ name, value, share, from, to }) => make("tr", {},
    make("th", { scope: "row", textContent: name }),
    make("td", { className: "number", textContent: value === undefined ? "" : formatValue(value) }),
    make("td", {}, bar(from, to)),
    make("td", { className: `number ${direction(share, "plus", "minus")}`, textContent: signed.format(share) })));
  find("contributions").tBodies[0].replaceChildren(end("on average", bias, bias), ...rows, end("this row", margin, margin));
}

function initClasses() {
  if (!model.num_class) return;
  find("class").append(...Array.from({ length: model.num_class }, (_, index) => make("option", { value: index, textContent: index })));
  find("class").addEventListener("change", showContributions);
  find("class-choice").hidden = false;
}

// --- drift ---

const LEVELS = { stable: "stable", moderate: "some drift", shifted: "drifted", unknown: "not yet known" };

function histogram({ training, window }) {
  const top = Math.max(0.2, ...training, ...window);
  const count = training.length;
  const height = (share) => 100 * (1 - share / top);
  const chart = draw("svg", { viewBox: `0 0 ${count * 10} 100`, preserveAspectRatio: "none", "aria-hidden": "true" });
  chart.append(...window.map((share, bin) => draw("rect", { class: "now", x: bin * 10 + 1, width: 8, y: height(share), height: 100 - height(share) })));
  const line = training.flatMap((share, bin) => [`${bin * 10},${height(share)}`, `${bin * 10 + 10},${height(share)}`]);
  chart.append(draw("polyline", { class: "then", points: line.join(" ") }), draw("line", { class: "floor", x1: 0, x2: count * 10, y1: 100, y2: 100 }));
  return chart;
}

function driftItem(column, title) {
  const outside = [[column.below, "below range"], [column.above, "above range"], [column.missing, "missing"]];
  const facts = outside.filter(([share]) => share > 0).map(([share, what]) => `${share < 0.001 ? "under 0.1%" : percent.format(share)} ${what}`);
  const index = column.psi === null ? [] : [`PSI ${column.psi.toFixed(2)}`];
  const level = make("span", { className: "badge", textContent: LEVELS[column.level] });
  const item = make("li", { className: column.level }, make("h3", { textContent: title }));
  if (column.bins) item.append(histogram(column.bins));
  item.append(make("p", {}, level), make("p", { textContent: [...index, ...facts].join(" · ") || "nothing unusual" }));
  return item;
}

async function showDrift() {
  drift = await request("drift");
  const columns = [...(drift.prediction ? [drift.prediction] : []), ...drift.features];
  const known = columns.filter((column) => column.psi !== null);
  const worst = ["shifted", "moderate", "stable", "unknown"].find((level) => columns.some((column) => column.level === level));
  const state = find("drift-state");
  state.className = `badge ${worst}`;
  const affected = known.filter((column) => column.level === worst).length;
  if (!known.length) state.textContent = `${drift.rows} of ${drift.enough} rows`;
  else state.textContent = worst === "stable" ? worst : `${affected} of ${known.length}: ${LEVELS[worst]}`;
  find("drift-about").textContent = known.length
    ? `The last ${sixDigits.format(drift.rows)} rows (bars) against the training rows (dashed), in bins of a tenth of the training rows each. Rows of this page don’t count.`
    : `Reported from ${drift.enough} predicted rows on; ${drift.rows} have arrived. Rows of this page don’t count.`;
  find("drift-rows").hidden = Boolean(known.length);
  Object.assign(find("drift-rows"), { max: drift.enough, value: drift.rows });
  find("drifts").hidden = !drift.rows;
  find("drifts").replaceChildren(...(drift.prediction ? [driftItem(drift.prediction, "the prediction")] : []), ...drift.features.map((column) => driftItem(column, column.name)));
}

// --- snippets ---

const address = new URL(".", location.href).href.replace(/\/$/, "");

function snippets(row) {
  const members = Object.entries(row).map(([name, value]) => `${JSON.stringify(name)}: ${value}`);
  const quoted = `{"instances": [{${members.join(", ")}}]}`.replaceAll("'", "'\\''");
  find("curl").querySelector("code").textContent = `curl ${address}/predict \\\n  -H 'content-type: application/json' \\\n  -d '${quoted}'`;
  const lines = Object.entries(row).map(([name, value]) => `    ${JSON.stringify(name)}: ${value === null ? "None" : value},`);
  find("python").querySelector("code").textContent = [
    "from inference_server.client import Client", "", "row = {", ...lines, "}",
    `with Client(${JSON.stringify(address)}) as client:`, "    print(client.predict([row]).values)",
  ].join("\n");
}

async function copy(text, target) {
  try {
    await navigator.clipboard.writeText(text);
    find("copied").textContent = "Copied.";
  } catch {
    // Without TLS the browser provides no clipboard, so the text is selected instead.
    getSelection().selectAllChildren(target);
    find("copied").textContent = "Selected: press Ctrl+C.";
  }
}

function selectTab(tab) {
  for (const other of document.querySelectorAll("[role=tab]")) {
    const selected = other === tab;
    other.setAttribute("aria-selected", String(selected));
    other.tabIndex = selected ? 0 : -1;
    find(other.getAttribute("aria-controls")).hidden = !selected;
  }
  find("copied").textContent = "";
}

function initSnippets() {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => selectTab(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(index + step + tabs.length) % tabs.length];
      selectTab(next);
      next.focus();
    });
  });
  for (const button of document.querySelectorAll(".copy")) {
    const code = button.parentElement.querySelector("code");
    button.addEventListener("click", () => copy(code.textContent, code));
  }
}

// --- the served model ---

function showModel() {
  document.title = `${model.name} · Moorage`;
  find("name").textContent = model.version === null ? model.name : `${model.name} · version ${model.version}`;
  const metrics = Object.entries(model.metrics.test ?? {}).map(([name, value]) => `${name} ${sixDigits.format(value)} on test rows`);
  find("about").textContent = [`Predicts ${model.target}`, model.objective, ...metrics].join(" · ");
  const lineage = Object.entries(model.lineage).map(([name, value]) => ` · ${name} ${value}`).join("");
  find("lineage").append("SHA-256 ", make("code", { textContent: model.sha256 }), ` · trained by xgboost ${model.xgboost_version}${lineage}`);
}

async function start() {
  initSnippets();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    predict();
  });
  find("reset").addEventListener("click", reset);
  try {
    [model] = await Promise.all([request("model"), showDrift()]);
  } catch (error) {
    find("about").textContent = "";
    return problem(error.message);
  }
  showModel();
  initClasses();
  find("features").append(...model.features.map((described, index) => feature(described, drift.features[index].bins, index)));
  reset();
  setInterval(() => document.hidden || showDrift().catch(() => {}), 10_000);
}

start();
