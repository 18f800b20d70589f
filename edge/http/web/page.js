// Receives what the server sends, and hands it to the patches.

import { colours } from "/ecg.js";
import { Patch } from "/patch.js";

const ANNOUNCE_MS = 8000; // shortest time between two announcements to a screen reader
const HISTORY_MS = 20000;
const STILL_MS = 2000;
const FRAME_MS = 33;

const patches = new Map();
const template = document.querySelector("#patch");
const main = document.querySelector("#patches");
const nothing = document.querySelector("#nothing");
const pill = document.querySelector("#connection");
const pause = document.querySelector("#pause");
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let paused = false, ended = false, paint = colours();

for (const query of ["(prefers-color-scheme: dark)", "(prefers-contrast: more)"]) {
  matchMedia(query).addEventListener("change", () => { paint = colours(); });
}

pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
});

function connection(words, kind) {
  pill.className = `pill ${kind}`;
  pill.querySelector(".words").textContent = words;
}

// Announcements wait for each other and are joined, so that a screen reader does not chatter.
const waiting = [];
let last_ms = -ANNOUNCE_MS;
function announce(lines) {
  waiting.push(...lines);
  if (waiting.length > 6) waiting.splice(0, waiting.length - 6);
}
function speak() {
  if (!waiting.length || performance.now() - last_ms < ANNOUNCE_MS) return;
  last_ms = performance.now();
  document.querySelector("#announce").textContent = waiting.splice(0).join(". ");
}

function host(facts) {
  const limits = [...patches.values()].map((patch) => patch.now?.limitMib).filter(Boolean);
  const limit = limits.length === 1 ? ` of ${limits[0]}` : "";
  document.querySelector("#host").textContent =
    `This run uses ${facts.mib}${limit} MiB of memory; ${facts.viewers} viewer${facts.viewers === 1 ? "" : "s"}; ` +
    `anyecg-edge ${version}.`;
}
let version = "";

function page(whole) {
  version = whole.version;
  const wanted = new Set(whole.patches.map((one) => one.id));
  for (const [id, patch] of patches) {
    if (!wanted.has(id)) {
      patch.root.remove();
      patches.delete(id);
    }
  }
  for (const about of whole.patches) {
    let patch = patches.get(about.id);
    if (!patch) {
      patch = new Patch(about, template);
      patches.set(about.id, patch);
      main.append(patch.root);
      if (whole.patches.length === 1 && main.clientWidth > 1000) patch.find(".history").open = true;
    }
    announce(patch.state(about.state));
    patch.load();
  }
  nothing.hidden = patches.size > 0;
  document.title = patches.size === 1 ? `${whole.patches[0].name} · anyecg` : "anyecg";
  host(whole.host);
}

const events = new EventSource("/events");
events.addEventListener("open", () => connection("live", "ok"));
events.addEventListener("error", () => {
  if (ended) return;
  // A browser does not try again after a refusal, such as too many viewers or a new token.
  const over = events.readyState === EventSource.CLOSED;
  connection(over ? "no connection: load the page again" : "connection lost, trying again", "bad");
});
events.addEventListener("end", () => {
  ended = true;
  events.close();
  connection("the run has ended", "warn");
  announce(["the run has ended"]);
});
events.addEventListener("page", (event) => page(JSON.parse(event.data)));
events.addEventListener("host", (event) => host(JSON.parse(event.data)));
events.addEventListener("state", (event) => {
  for (const state of JSON.parse(event.data)) {
    const patch = patches.get(state.id);
    if (patch) announce(patch.state(state));
  }
});
events.addEventListener("signal", (event) => {
  for (const [id, pieces, beats] of JSON.parse(event.data)) patches.get(id)?.ecg.push(pieces, beats);
});

setInterval(() => {
  for (const patch of patches.values()) patch.tick();
  speak();
}, 1000);
setInterval(() => {
  if (document.visibilityState === "visible" && !ended) for (const patch of patches.values()) patch.load();
}, HISTORY_MS);

let drawn_ms = 0;
function frame(now_ms) {
  const still = calm.matches;
  if (!paused && now_ms - drawn_ms >= (still ? STILL_MS : FRAME_MS)) {
    drawn_ms = now_ms;
    for (const patch of patches.values()) if (patch.visible) patch.ecg.draw(now_ms, paint, still);
  }
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);
