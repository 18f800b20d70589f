"use strict";
(() => {
  const read = id => JSON.parse(document.getElementById(id).textContent);
  const pieces = read("ecg-data"), facts = read("facts"), seconds = 10;
  const view = document.getElementById("ecg"), bar = document.getElementById("ecg-bar");
  const slider = document.getElementById("ecg-at"), label = document.getElementById("ecg-time");
  if (!pieces.length || typeof DecompressionStream === "undefined") return;
  bar.classList.add("on");
  const known = new Map();
  const clock = t => new Date(t * 1000).toISOString().slice(0, 19).replace("T", " ") + " UTC";
  const end = p => p[0] + p[2] / p[1];
  async function samples(i) {
    if (known.has(i)) return known.get(i);
    const packed = Uint8Array.from(atob(pieces[i][4]), c => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    const raw = new DataView(await new Response(stream).arrayBuffer());
    const out = new Int16Array(raw.byteLength / 2);
    for (let k = 0, sum = 0; k < out.length; k++) out[k] = sum += raw.getInt16(2 * k, true);
    if (known.size > 20) known.clear();
    known.set(i, out);
    return out;
  }
  const W = 1000, H = 260, L = 46, R = 6, T = 8, B = 24;
  let asked = 0;
  async function draw(from) {
    const turn = ++asked, runs = [], beats = [];
    for (let i = 0; i < pieces.length; i++) {
      const p = pieces[i];
      if (end(p) <= from || p[0] >= from + seconds) continue;
      const values = await samples(i), points = [];
      for (let k = Math.max(0, Math.floor((from - p[0]) * p[1])); k < p[2] && p[0] + k / p[1] <= from + seconds; k++)
        points.push([p[0] + k / p[1], values[k] * p[3]]);
      if (points.length) runs.push(points);
      for (const ms of p[5]) if (p[0] + ms / 1000 >= from && p[0] + ms / 1000 <= from + seconds) beats.push(p[0] + ms / 1000);
    }
    if (turn !== asked) return;
    const all = runs.flat().map(q => q[1]);
    let low = all.length ? Math.min(...all) : -1, high = all.length ? Math.max(...all) : 1;
    const spare = Math.max(0, (facts.mv ? 1.5 : 10) - (high - low)) / 2 + (high - low) * 0.05;
    low -= spare; high += spare;
    const x = t => L + (t - from) / seconds * (W - L - R), y = v => H - B - (v - low) / (high - low) * (H - T - B);
    let svg = "";
    for (let s = 0; s <= seconds; s++) svg += `<path class="grid" d="M${x(from + s)} ${T}V${H - B}"/>` +
      (s < seconds ? `<text class="mid" x="${x(from + s)}" y="${H - 7}">${s ? s + " s" : ""}</text>` : "");
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 100, 1000, 1e4, 1e5].find(d => (high - low) / d <= 8) || (high - low) / 4;
    for (let v = Math.ceil(low / step) * step; v <= high; v += step)
      svg += `<path class="grid" d="M${L} ${y(v)}H${W - R}"/><text class="end" x="${L - 5}" y="${y(v) + 4}">${+v.toFixed(3)}</text>`;
    for (const run of runs) svg += `<polyline class="line" points="${run.map(q => x(q[0]).toFixed(1) + "," + y(q[1]).toFixed(1)).join(" ")}"/>`;
    for (const t of beats) svg += `<path class="beat" d="M${x(t) - 4} ${T}h8l-4 6z"/>`;
    if (!runs.length) svg += `<text class="mid" x="${W / 2}" y="${H / 2}">no signal here</text>`;
    view.innerHTML = svg;
    view.setAttribute("aria-label", `ECG from ${clock(from)}, ten seconds, ${runs.length ? beats.length + " R peaks" : "no signal"}`);
    label.textContent = clock(from);
    slider.value = from;
    slider.setAttribute("aria-valuetext", clock(from));
  }
  const first = pieces[0][0], last = Math.max(first, end(pieces[pieces.length - 1]) - seconds);
  slider.min = first; slider.max = last; slider.step = 1;
  const go = t => draw(Math.min(Math.max(t, first), last));
  slider.addEventListener("input", () => go(+slider.value));
  for (const button of bar.querySelectorAll("button")) button.addEventListener("click", () => go(+slider.value + +button.dataset.by));
  for (const chart of document.querySelectorAll(".chart")) chart.addEventListener("click", e => {
    const box = chart.getBoundingClientRect();
    const share = ((e.clientX - box.left) / box.width * facts.width - facts.left) / (facts.width - facts.left - facts.right);
    go(facts.start + share * (facts.end - facts.start) - seconds / 2);
    view.scrollIntoView({ block: "center" });
  });
  go(facts.at);
})();
