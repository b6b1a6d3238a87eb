"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const chart = document.getElementById("chart");
  const detail = document.getElementById("detail");
  const LABEL = 240, ROW = 22, TOP = 26, PAD = 16;
  const plot = Math.max(420, document.getElementById("timeline").clientWidth - LABEL - PAD);
  const end = Math.max(data.seconds, 1e-6);
  const x = (seconds) => LABEL + (seconds / end) * plot;
  const rowOf = new Map(data.steps.map((step, row) => [step.lineage, row]));

  // Everything from the run enters the page as text or as an attribute, never as markup.
  const draw = (parent, name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.appendChild(made);
    return made;
  };
  const put = (parent, name, text) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    parent.appendChild(made);
    return made;
  };
  const short = (text, most) => (text.length > most ? text.slice(0, most - 1) + "\u2026" : text);

  const drawAxis = (height) => {
    const rough = end / 8;
    const base = 10 ** Math.floor(Math.log10(rough));
    const gap = [1, 2, 5, 10].map((factor) => factor * base).find((size) => size >= rough);
    for (let at = 0; at <= end * 1.0001; at += gap) {
      draw(chart, "line", { class: "grid", x1: x(at), x2: x(at), y1: TOP - 6, y2: height });
      draw(chart, "text", { class: "tick", x: x(at) + 3, y: 14 }, `${Number(at.toPrecision(6))} s`);
    }
  };

  const drawRow = (step, row) => {
    const y = TOP + row * ROW;
    const group = draw(chart, "g", { class: "row", tabindex: 0, role: "listitem" });
    draw(group, "rect", { class: "hit", x: 0, y, width: LABEL + plot + PAD, height: ROW });
    draw(group, "text", { x: 8 + 12 * step.depth, y: y + 15 }, short(step.name, 30 - 2 * step.depth));
    const started = step.started_s ?? step.ended_s;
    const bar = (kind, from, to) =>
      draw(group, "rect", { class: kind, x: x(from), y: y + 4, width: Math.max(x(to) - x(from), 1.5), height: ROW - 8, rx: 2 });
    if (started > step.submitted_s) bar("wait", step.submitted_s, started);
    if (step.started_s !== null) {
      bar(`${step.kind} ${step.phase}${step.is_critical ? " critical" : ""}`, step.started_s, step.ended_s);
    }
    draw(group, "title", {}, `${step.name} \u00b7 ${step.phase} \u00b7 ${step.seconds.toFixed(3)} s`);
    const choose = () => show(step);
    group.addEventListener("click", choose);
    group.addEventListener("keydown", (event) => { if (event.key === "Enter") choose(); });
  };

  const drawEdges = () => {
    const edges = [];
    for (const [row, step] of data.steps.entries()) {
      for (const [kind, sources] of [["data", step.inputs], ["control", step.after]]) {
        for (const source of sources) {
          const from = rowOf.get(source);
          if (from === undefined || (kind === "control" && step.inputs.includes(source))) continue;
          const [x1, x2] = [x(data.steps[from].ended_s), x(step.started_s ?? step.submitted_s)];
          const [y1, y2] = [TOP + (from + 0.5) * ROW, TOP + (row + 0.5) * ROW];
          const path = draw(chart, "path", { class: `edge ${kind}`, d: `M${x1},${y1} C${x1 + 18},${y1} ${x2 - 18},${y2} ${x2},${y2}` });
          edges.push({ path, ends: [source, step.lineage] });
        }
      }
    }
    return edges;
  };

  const section = (title, text) => {
    if (!text) return;
    put(detail, "h3", title);
    put(detail, "pre", text);
  };

  const show = (step) => {
    detail.replaceChildren();
    put(detail, "h2", step.name);
    put(detail, "p", `${step.kind} \u00b7 ${step.phase} \u00b7 ${step.lineage}`);
    const table = put(detail, "table");
    for (const [name, value] of step.figures) {
      const line = put(table, "tr");
      put(line, "td", name);
      put(line, "td", value);
    }
    section("Asked", step.asked);
    for (const [index, text] of step.texts) section(step.texts.length > 1 ? `Text ${index}` : "Text", text);
    section(step.phase === "failed" ? "Error" : "Result", step.told);
    for (const { path, ends } of edges) path.classList.toggle("chosen", ends.includes(step.lineage));
  };

  const height = TOP + data.steps.length * ROW + 10;
  chart.setAttribute("width", LABEL + plot + PAD);
  chart.setAttribute("height", height);
  drawAxis(height);
  data.steps.forEach(drawRow);
  const edges = drawEdges();
})();
