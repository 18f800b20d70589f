// One patch on the page: its card, its ECG, its table and its history.

import { Ecg } from "/ecg.js";
import { chart, spark } from "/charts.js";

const FIRST_ROWS = 12; // outputs that a long table shows at first; flagged ones are always shown

function element(name, className, text) {
  const one = document.createElement(name);
  if (className) one.className = className;
  if (text !== undefined) one.textContent = text;
  return one;
}

function set(where, text) { // without a change, a screen reader and the layout have nothing to do
  if (where.textContent !== text) where.textContent = text;
}

// A number and its unit stay on one line.
function together(text) {
  return text.replace(/(\d) (?=\S+$)/, "$1\u00a0");
}

export function age(seconds) {
  if (seconds < 3) return "now";
  if (seconds < 120) return `${Math.round(seconds)} s ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}

export class Patch {
  constructor(about, template) {
    this.about = about;
    this.root = template.content.firstElementChild.cloneNode(true);
    this.find = (selector) => this.root.querySelector(selector);
    const heading = this.find("h2");
    heading.id = `patch-${about.id}`;
    heading.textContent = about.name;
    this.root.setAttribute("aria-labelledby", heading.id);
    set(this.find(".about"), [about.name === about.device ? "" : about.device, about.bundle].filter(Boolean).join(" · "));
    set(this.find("caption"), `Newest estimates of ${about.name}`);
    this.ecg = new Ecg(this.find("canvas"));
    this.visible = true;
    new IntersectionObserver(([entry]) => { this.visible = entry.isIntersecting; }).observe(this.find("canvas"));
    this.all = false;
    this.flagged = null;
    this.reason = "";
    this.link = "";
    this.history = null;
    this.rows();
    this.find(".more").addEventListener("click", () => { this.all = !this.all; this.order(); });
    this.find(".history").addEventListener("toggle", () => this.charts());
  }

  rows() {
    this.row = this.about.heads.map((head) => {
      const row = element("tr");
      const name = element("th", "", together(head.title));
      name.scope = "row";
      name.append(element("span", "soft", `${head.evidence} evidence`), element("span", "soft why", ""));
      const value = element("td", "num");
      value.append(element("span", "value", "–"), element("span", "soft", ""));
      const limit = element("td", "num");
      limit.append(element("span", "", head.limit || "none"), element("span", "soft", ""));
      row.append(name, value, limit, element("td", "spark"));
      return row;
    });
    this.order();
  }

  // Numbers of the outputs: flagged ones first, then values, then probabilities.
  sorted() {
    const rank = (i) => (this.flagged?.has(i) ? 0 : this.about.heads[i].percent ? 2 : 1);
    return this.row.map((_, i) => i).sort((a, b) => rank(a) - rank(b) || a - b);
  }

  // Of a long table, only the first rows are shown until everything is asked for.
  order() {
    const sorted = this.sorted().map((i) => this.row[i]);
    const body = this.find("tbody");
    if (sorted.some((row, i) => body.children[i] !== row)) body.replaceChildren(...sorted);
    sorted.forEach((row, i) => { row.hidden = !this.all && i >= Math.max(FIRST_ROWS, this.flagged?.size ?? 0); });
    const more = this.find(".more");
    more.hidden = sorted.length <= FIRST_ROWS;
    set(more, this.all ? `Show the first ${FIRST_ROWS} outputs` : `Show all ${sorted.length} outputs`);
    more.setAttribute("aria-expanded", String(this.all));
  }

  // Takes a state; returns what has changed, in words, for those who do not see the page.
  state(state) {
    const told = [];
    this.now = state;
    this.received_ms = performance.now();
    this.ecg.millivolts = state.millivolts;
    const ended = state.ended !== "";
    this.root.classList.toggle("ended", ended);
    this.root.classList.toggle("stale", ended || state.linkStyle === "bad" || Boolean(state.reason));
    const pill = this.find(".head .pill");
    pill.className = `pill ${ended ? "warn" : state.linkStyle}`;
    const link = ended ? `ended: ${state.ended}` : state.link;
    set(pill.querySelector(".words"), link);
    const kind = ended ? "ended" : state.linkStyle;
    if (this.link && kind !== this.link) told.push(link);
    this.link = kind;
    set(this.find(".rate .big"), state.rate == null ? "–" : String(state.rate));
    set(this.find(".quality .big"), state.quality == null ? "–" : String(state.quality));
    for (const name of ["rhythm", "waves", "change"]) {
      set(this.find(`.${name} .mid`), state[name] || "–");
      this.find(`.${name}`).hidden = !state[name];
    }
    set(this.find(".lost .mid"), (state.lost ?? 0).toLocaleString("en"));
    this.find(".lost").hidden = !state.lost;
    const canvas = this.find("canvas");
    canvas.setAttribute("aria-label", `ECG of ${this.about.name}` +
      (state.rate == null ? "" : `, ${state.rate} beats per minute`));
    this.caption();
    told.push(...this.labs(state), ...this.verdict(state));
    this.facts(state);
    return told.map((text) => `${this.about.name}: ${text}`);
  }

  caption() {
    const caption = this.find("figcaption");
    const unit = this.ecg.millivolts ? `squares: 0.2 s, ${this.ecg.step_mv ?? 0.5} mV` : "squares: 0.2 s; no known scale";
    const text = `${this.ecg.seconds} s of ECG · triangles: R peaks · ${unit}`;
    set(caption, text);
  }

  labs(state) {
    if (!state.labs) return [];
    const flagged = new Set(), told = [];
    state.labs.forEach((lab, i) => {
      const row = this.row[i], head = this.about.heads[i];
      const [name, value, limit] = row.children;
      const [shown, interval, flag, windows, anchored, remark, why] = lab ?? ["–", "", null, 0, false, "", ""];
      set(name.querySelector(".why"), why);
      set(value.children[0], `${flag ? "▲ " : ""}${shown}`);
      set(value.children[1], [interval, anchored ? "anchored" : "", remark].filter(Boolean).join(", "));
      const judged = flag === null ? (head.threshold === null ? "" : "not judged") : flag ? "reached" : "";
      set(limit.children[1], judged);
      row.classList.toggle("flagged", flag === true);
      row.title = windows ? `from ${windows} window${windows === 1 ? "" : "s"} of ten seconds` : "";
      if (flag) flagged.add(i);
    });
    const before = this.flagged ?? new Set();
    for (const i of flagged) if (!before.has(i)) told.push(`flagged: ${this.about.heads[i].words}, ${state.labs[i][0]}`);
    for (const i of before) if (!flagged.has(i)) told.push(`no longer flagged: ${this.about.heads[i].words}`);
    const changed = this.flagged === null || told.length > 0;
    this.flagged = flagged;
    if (changed) this.order();
    return told;
  }

  verdict(state) {
    const where = this.find(".verdict"), told = [];
    const names = [...(this.flagged ?? [])].map((i) => this.about.heads[i].words);
    const reason = state.reason ?? "";
    let [kind, text] = ["ok", ""];
    if (state.ended) text = `Below: the last estimate. ${state.ended[0].toUpperCase()}${state.ended.slice(1)}.`;
    else if (state.time === undefined) text = state.remark || "No signal yet.";
    else if (state.linkStyle === "bad") {
      kind = "warn";
      const why = state.remark && state.remark !== state.link ? `: ${state.remark}` : "";
      text = `No current estimate: ${state.link}${why}.${state.labs ? " Below: the last one." : ""}`;
    } else if (reason) {
      kind = "warn";
      text = `No estimate: ${reason}.${state.labs ? " Below: the last one." : ""}`;
    } else if (names.length) {
      kind = "flag";
      text = `▲ Flagged: ${names.map(together).join("; ")}`;
    } else if (state.labs) text = "Nothing is flagged.";
    where.className = `verdict ${kind}`;
    set(where, text);
    if (reason !== this.reason && !(reason && this.reason)) told.push(reason ? `no estimate: ${reason}` : "estimates again");
    this.reason = reason;
    return told;
  }

  facts(state) {
    const latency = state.latencyMs == null ? "–" : `${state.latencyMs} of ${state.limitMs} ms`;
    const refused = (state.refused ?? []).map(([why, count]) => `${count} × ${why}`).join("; ");
    const facts = [
      ["Latency of a hop", latency, state.latencyMs > state.limitMs],
      ["Estimates", `${state.estimates.toLocaleString("en")} of ${state.hops.toLocaleString("en")} hops`],
      ["Lost samples", (state.lost ?? 0).toLocaleString("en")],
      ["Corrupt frames", state.corrupt.toLocaleString("en")],
      ["Reconnections", String(state.reconnects)],
      ["Clock of the host", state.clock === undefined ? "–" : state.clock ? "synchronised" : "not synchronised"],
      ["Quality flags", (state.flags ?? []).join(", ") || "none"],
      ["Hops without an estimate", refused || "none"],
    ];
    const list = this.find(".facts");
    if (!list.children.length) {
      for (const [name] of facts) {
        const pair = element("div");
        pair.append(element("dt", "", name), element("dd"));
        list.append(pair);
      }
    }
    facts.forEach(([, text, bad], i) => {
      const value = list.children[i].children[1];
      set(value, text);
      value.classList.toggle("bad", Boolean(bad));
    });
  }

  // Once a second: how old the newest estimate is, also while nothing comes.
  tick() {
    if (!this.now) return;
    const passed_s = (performance.now() - this.received_ms) / 1000;
    const known = this.now.labs !== undefined;
    set(this.find(".fresh .mid"), known ? age((this.now.labsAge_s ?? 0) + (this.now.age_s ?? 0) + passed_s) : "none yet");
  }

  async load() {
    try {
      const answer = await fetch(`/history?patch=${this.about.id}`);
      if (answer.ok) this.history = await answer.json();
    } catch { return; } // the next call tries again
    if (!this.history) return;
    this.about.heads.forEach((head, i) => {
      const [mean, low, high] = this.history.outputs[head.key];
      spark(this.row[i].children[3], mean, low, high, head.threshold);
    });
    this.charts();
  }

  charts() {
    if (!this.history || !this.find(".history").open) return;
    const { rate, quality, outputs, first_s, step_s } = this.history;
    const end_s = this.now?.end_s, end_ms = Date.parse(this.now?.time ?? "");
    const time = (i) => {
      const at = new Date(end_ms - (end_s - (first_s + i * step_s)) * 1000);
      return Number.isNaN(at.getTime()) ? "" : at.toLocaleTimeString("en-GB");
    };
    const charts = [
      chart(rate, null, null, { name: "Heart rate", unit: "bpm", least: 10, digits: 0 }, time),
      chart(quality.map((v) => (v === null ? null : 100 * v)), null, null,
        { name: "Signal quality", unit: "%", floor: 0, ceiling: 100, least: 1, digits: 0 }, time),
    ];
    for (const i of this.sorted().slice(0, this.all ? undefined : FIRST_ROWS)) {
      const head = this.about.heads[i], factor = head.percent ? 100 : 1;
      const [mean, low, high] = outputs[head.key].map((list) => list.map((v) => (v === null ? null : v * factor)));
      const limit = head.threshold === null ? null : head.threshold * factor;
      charts.push(chart(mean, low, high, {
        name: together(head.title), unit: head.unit, limit, limitWords: head.limit,
        floor: head.percent ? 0 : null, least: head.percent ? 1 : 0.1, digits: head.percent ? 0 : 1,
      }, time));
    }
    this.find(".charts").replaceChildren(...charts);
  }
}
