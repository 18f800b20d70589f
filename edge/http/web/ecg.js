// The moving ECG of one patch. Samples come eight times a second; the pen moves evenly, a little behind them.

const KEEP_S = 14; // signal that is kept, s
const BEHIND_S = 0.45; // distance of the pen from the newest sample, s
const GAP_S = 0.35; // blank in front of the pen, s
const MIN_SPAN_MV = 0.8;

export class Ecg {
  constructor(canvas) {
    this.canvas = canvas;
    this.pieces = []; // [start_s, step_s, Float32Array]
    this.beats = [];
    this.pen_s = null;
    this.low = -0.4;
    this.high = 0.8;
    this.millivolts = true;
    this.last_ms = 0;
  }

  get end_s() {
    const last = this.pieces[this.pieces.length - 1];
    return last ? last[0] + last[1] * last[2].length : null;
  }

  push(pieces, beats) {
    for (const [start_s, fs_hz, samples] of pieces) {
      const end_s = this.end_s;
      if (end_s !== null && start_s < end_s - 30) { // the signal began anew
        this.pieces = [];
        this.beats = [];
        this.pen_s = null;
      } else if (end_s !== null && start_s < end_s - 0.02) continue; // sent twice
      const scale = this.millivolts ? 0.001 : 1;
      this.pieces.push([start_s, 1 / fs_hz, Float32Array.from(samples, (v) => v * scale)]);
    }
    for (const beat of beats) if (!this.beats.includes(beat)) this.beats.push(beat);
    const oldest = (this.end_s ?? 0) - KEEP_S;
    while (this.pieces.length && this.pieces[0][0] < oldest) this.pieces.shift();
    while (this.beats.length && this.beats[0] < oldest) this.beats.shift();
  }

  get seconds() {
    const width = this.canvas.clientWidth;
    return width < 420 ? 5 : width < 760 ? 7 : 11;
  }

  // Moves the pen and draws. `still` shows whole pictures without movement.
  draw(now_ms, colours, still) {
    const end_s = this.end_s;
    const passed_s = Math.min((now_ms - this.last_ms) / 1000, 0.5);
    this.last_ms = now_ms;
    if (end_s !== null) {
      const target = end_s - (still ? 0 : BEHIND_S);
      const far = this.pen_s === null ? Infinity : target - this.pen_s;
      if (still || Math.abs(far) > 2) this.pen_s = target;
      else if (far > -BEHIND_S) this.pen_s += Math.min(passed_s * (1 + 0.5 * far), Math.max(0, end_s - this.pen_s));
    }
    const canvas = this.canvas, ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const c = canvas.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.fillStyle = colours.card;
    c.fillRect(0, 0, width, height);
    this.scale();
    const seconds = this.seconds;
    const y = (v) => height - 10 - ((v - this.low) / (this.high - this.low)) * (height - 26);
    this.paper(c, width, height, seconds, y, colours);
    if (this.pen_s === null) return;
    const from_s = this.pen_s - seconds + GAP_S;
    const x = (t) => ((((t % seconds) + seconds) % seconds) / seconds) * width;
    c.strokeStyle = colours.trace;
    c.lineWidth = 1.6;
    c.lineJoin = "round";
    c.beginPath();
    let before_s = -Infinity, before_x = Infinity;
    for (const [start_s, step_s, samples] of this.pieces) {
      if (start_s > this.pen_s || start_s + step_s * samples.length < from_s) continue;
      for (let i = 0; i < samples.length; i++) {
        const t = start_s + i * step_s;
        if (t < from_s || t > this.pen_s) continue;
        const at = x(t);
        if (t - before_s > 1.6 * step_s || at < before_x) c.moveTo(at, y(samples[i]));
        else c.lineTo(at, y(samples[i]));
        before_s = t;
        before_x = at;
      }
    }
    c.stroke();
    c.fillStyle = colours.limit;
    for (const beat of this.beats) {
      if (beat < from_s || beat > this.pen_s) continue;
      const at = x(beat);
      c.beginPath();
      c.moveTo(at - 4, 3);
      c.lineTo(at + 4, 3);
      c.lineTo(at, 10);
      c.fill();
    }
    if (!still) {
      c.fillStyle = colours.line;
      c.fillRect(x(this.pen_s), 0, 1.5, height);
    }
  }

  // The range follows a larger signal at once, and a smaller one slowly.
  scale() {
    let low = Infinity, high = -Infinity;
    for (const [, , samples] of this.pieces) {
      for (const v of samples) {
        if (v < low) low = v;
        if (v > high) high = v;
      }
    }
    if (!(low <= high)) return;
    const least = this.millivolts ? MIN_SPAN_MV : 1e-6;
    if (high - low < least) [low, high] = [(low + high - least) / 2, (low + high + least) / 2];
    this.low = low < this.low ? low : this.low + 0.02 * (low - this.low);
    this.high = high > this.high ? high : this.high + 0.02 * (high - this.high);
  }

  // Lines at each 0.2 s and 0.5 mV, as on ECG paper: the large squares.
  paper(c, width, height, seconds, y, colours) {
    c.lineWidth = 1;
    for (let i = 1; i < seconds * 5; i++) {
      c.strokeStyle = i % 5 ? colours.grid : colours.gridStrong;
      const at = Math.round((i / 5 / seconds) * width) + 0.5;
      c.beginPath();
      c.moveTo(at, 0);
      c.lineTo(at, height);
      c.stroke();
    }
    if (!this.millivolts) return;
    const span = this.high - this.low, step = span > 12 ? 5 : span > 5 ? 1 : 0.5;
    for (let v = Math.ceil(this.low / step - 2) * step; v < this.high + 2 * step; v += step) {
      const at = Math.round(y(v)) + 0.5;
      if (at < 0 || at > height) continue;
      c.strokeStyle = Math.abs(v) < 1e-6 ? colours.gridStrong : colours.grid;
      c.beginPath();
      c.moveTo(0, at);
      c.lineTo(width, at);
      c.stroke();
    }
    this.step_mv = step;
  }
}

export function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return {
    card: of("--card"), grid: of("--grid"), gridStrong: of("--grid-strong"), trace: of("--trace"), line: of("--line"),
    limit: of("--limit"),
  };
}
