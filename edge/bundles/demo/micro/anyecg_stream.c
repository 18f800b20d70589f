/* SPDX-License-Identifier: MIT */
#include "anyecg_stream.h"

/* Define ANYECG_EXTERNAL_FRONTEND if ecg_frontend.c of the patch's C library is in the same program. */
#ifndef ANYECG_EXTERNAL_FRONTEND

#include <stddef.h>
#include <string.h>

#define TAP_BITS 30u
/* Bits of the low-pass outputs, plus one for overshoot (the sum of the taps' magnitudes is 1.7). */
#define STREAM_BITS 30u
#define TRIANGLE_BITS 14u
#define HALF_250 24u
#define HALF_500 48u
#define RING_MASK (2u * ANYECG_STREAM_BOXCAR - 1u)
#define STEPS_PER_SD 16
/* Bits of a window's values before they are squared: 1250 squares then fit into 64 bits. */
#define SCORE_BITS 23u

/* lowpass_taps() of edge/frontend/stream.py times 2**30, from the centre outward; both halves sum to 2**30 exactly. */
static const int32_t taps_250[HALF_250 + 1u] = {
    348094616, 289922970, 150535615, 9677541,  -64474344, -57792066, -8686957, 30158747, 31952609,
    7219054,   -15779571, -18818926, -5504100, 8172457,   10820990,  3788343,  -3933232, -5752816,
    -2283193,  1651217,   2649119,   1127322,  -540749,   -916363,   -370063};
static const int32_t taps_500[HALF_500 + 1u] = {
    174030756, 166456804, 144947695, 112905003, 75260647, 37538810, 4838310,  -19052729, -32234105, -34860941,
    -28893284, -17510870, -4343066,  7306911,   15077939, 17891667, 15974784, 10595651,  3609183,   -3062853,
    -7889035,  -10025882, -9408568,  -6642698,  -2751788, 1137418,  4085840,  5541193,   5409980,   4003937,
    1893991,   -276692,   -1966429,  -2853206,  -2876135, -2202445, -1141488, -37673,    825530,    1286957,
    1324433,   1030780,   563608,    88015,     -270349,  -450684,  -458138,  -345480,   -185014};

/* Divides by a power of two and rounds, halves away from zero. Right shifts of negative numbers vary by compiler. */
static int64_t shifted(int64_t value, unsigned bits) {
  const int64_t half = (int64_t)((uint64_t)1 << bits >> 1);
  return value >= 0 ? (int64_t)((uint64_t)(value + half) >> bits) : -(int64_t)((uint64_t)(half - value) >> bits);
}

bool anyecg_stream_init(struct anyecg_stream *s, unsigned grid_hz, unsigned bits) {
  if ((grid_hz != 250u && grid_hz != 500u) || bits < ANYECG_STREAM_BITS_MIN || bits > ANYECG_STREAM_BITS_MAX) {
    return false;
  }
  s->bits = (uint8_t)bits;
  s->taps = grid_hz == 250u ? taps_250 : taps_500;
  s->half = (uint8_t)(grid_hz == 250u ? HALF_250 : HALF_500);
  s->decimation = (uint8_t)(grid_hz / ANYECG_STREAM_HZ);
  anyecg_stream_reset(s);
  return true;
}

void anyecg_stream_reset(struct anyecg_stream *s) {
  memset(s->low, 0, sizeof(s->low));
  memset(s->window, 0, sizeof(s->window));
  s->once = s->lagging = s->twice = 0;
  s->lows = s->next = s->filled = 0u;
  s->held = 0u;
}

static int32_t lowpass(const struct anyecg_stream *s) {
  int64_t sum = (int64_t)s->input[s->half] * s->taps[0];
  unsigned k;

  for (k = 1u; k <= s->half; k++) {
    sum += (int64_t)(s->input[s->half - k] + s->input[s->half + k]) * s->taps[k];
  }
  return (int32_t)shifted(sum, TAP_BITS - (STREAM_BITS - s->bits));
}

/* Applies two boxcars by running integer sums, which stay exact. Returns whether *out is a sample of the stream. */
static bool baseline(struct anyecg_stream *s, int32_t low, int32_t *out) {
  const unsigned n = s->lows;
  const int32_t behind = s->low[(n - ANYECG_STREAM_BOXCAR) & RING_MASK]; /* 0 at the start of a segment */

  s->once += (int64_t)low - behind;
  s->lagging += (int64_t)behind - s->low[n & RING_MASK];
  if (n >= ANYECG_STREAM_BOXCAR - 1u) {
    s->twice += s->once;
  }
  if (n >= 2u * ANYECG_STREAM_BOXCAR - 1u) {
    s->twice -= s->lagging;
  }
  s->low[n & RING_MASK] = low;
  /* Wraps within the upper of two turns, so that the comparisons above always hold. */
  s->lows = (uint16_t)(n + 1u < 4u * ANYECG_STREAM_BOXCAR ? n + 1u : 2u * ANYECG_STREAM_BOXCAR);
  if (n < 2u * ANYECG_STREAM_BOXCAR - 2u) {
    return false;
  }
  low = s->low[(n - (ANYECG_STREAM_BOXCAR - 1u)) & RING_MASK];
  *out = (int32_t)shifted((int64_t)low * (1 << TRIANGLE_BITS) - s->twice, TRIANGLE_BITS);
  return true;
}

bool anyecg_stream_push(struct anyecg_stream *s, int32_t sample) {
  const int32_t top = (int32_t)(((uint32_t)1 << (s->bits - 1u)) - 1u);
  const unsigned support = 2u * s->half + 1u;
  int32_t low, out;

  s->input[s->held++] = sample > top ? top : (sample < -top ? -top : sample);
  if (s->held < support) {
    return false;
  }
  low = lowpass(s);
  s->held = (uint8_t)(support - s->decimation);
  memmove(s->input, s->input + s->decimation, s->held * sizeof(s->input[0]));
  if (!baseline(s, low, &out)) {
    return false;
  }
  s->window[s->next] = out;
  s->next = (uint16_t)(s->next + 1u < ANYECG_STREAM_RING ? s->next + 1u : 0u);
  s->filled = (uint16_t)(s->filled < ANYECG_STREAM_WINDOW ? s->filled + 1u : ANYECG_STREAM_WINDOW);
  return true;
}

int32_t anyecg_stream_latest(const struct anyecg_stream *s) {
  return s->window[s->next > 0u ? s->next - 1u : ANYECG_STREAM_RING - 1u];
}

static uint32_t square_root(uint64_t value) {
  uint64_t root = 0u, bit = (uint64_t)1 << 62;

  while (bit > value) {
    bit >>= 2;
  }
  for (; bit != 0u; bit >>= 2) {
    if (value >= root + bit) {
      value -= root + bit;
      root = (root >> 1) + bit;
    } else {
      root >>= 1;
    }
  }
  return (uint32_t)root;
}

/* Shift that brings values up to top just below 2**SCORE_BITS: to the right if positive, to the left if negative. */
static int scale_of(int64_t top) {
  int right = 0;

  while (top >= (int64_t)1 << SCORE_BITS) {
    top = shifted(top, 1u);
    right++;
  }
  while (top < (int64_t)1 << (SCORE_BITS - 1u)) {
    top *= 2;
    right--;
  }
  return right;
}

static int32_t scaled(int64_t value, int right) {
  return (int32_t)(right > 0 ? shifted(value, (unsigned)right) : value * ((int64_t)1 << -right));
}

/* What is done with the values of a window, each time with all of them. */
enum { PASS_SUM, PASS_TOP, PASS_SQUARES, PASS_STEPS };

bool anyecg_score_begin(struct anyecg_score *score, const struct anyecg_stream *s) {
  memset(score, 0, sizeof(*score));
  score->first = (uint16_t)(s->next + ANYECG_STREAM_SPARE < ANYECG_STREAM_RING ? s->next + ANYECG_STREAM_SPARE
                                                                               : s->next - ANYECG_STREAM_WINDOW);
  return s->filled == ANYECG_STREAM_WINDOW;
}

/* Ends a pass. Returns whether another one follows. */
static bool next_pass(struct anyecg_score *score, int8_t *out) {
  score->done = 0u;
  if (score->pass == PASS_TOP) {
    if (score->top == 0) {
      memset(out, 0, ANYECG_STREAM_WINDOW);
      return false;
    }
    score->right = (int8_t)scale_of(score->top);
  } else if (score->pass == PASS_SQUARES) {
    score->sd = (int32_t)square_root(score->squares / ANYECG_STREAM_WINDOW);
  }
  return score->pass++ != PASS_STEPS;
}

bool anyecg_score_step(struct anyecg_score *score, const struct anyecg_stream *s, unsigned values, int8_t *out) {
  const int64_t count = ANYECG_STREAM_WINDOW;

  for (; values != 0u; values--) {
    const unsigned at = score->first + score->done;
    const int32_t value = s->window[at < ANYECG_STREAM_RING ? at : at - ANYECG_STREAM_RING];
    const int64_t centred = count * value - score->sum;

    if (score->pass == PASS_SUM) {
      score->sum += value;
    } else if (score->pass == PASS_TOP) {
      score->top = centred > score->top ? centred : (-centred > score->top ? -centred : score->top);
    } else if (score->pass == PASS_SQUARES) {
      const int64_t small = scaled(centred, score->right);
      score->squares += (uint64_t)(small * small);
    } else {
      const int32_t steps = STEPS_PER_SD * scaled(centred, score->right);
      const int32_t q = (steps >= 0 ? steps + score->sd / 2 : steps - score->sd / 2) / score->sd;
      out[score->done] = (int8_t)(q > 127 ? 127 : (q < -128 ? -128 : q));
    }
    if (++score->done == ANYECG_STREAM_WINDOW && !next_pass(score, out)) {
      return false;
    }
  }
  return true;
}

bool anyecg_stream_window(const struct anyecg_stream *s, int8_t *out) {
  struct anyecg_score score;

  if (!anyecg_score_begin(&score, s)) {
    return false;
  }
  while (anyecg_score_step(&score, s, ANYECG_STREAM_WINDOW, out)) {
  }
  return true;
}

#endif
