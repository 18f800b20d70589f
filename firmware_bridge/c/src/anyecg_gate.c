/* SPDX-License-Identifier: MIT */
#include "anyecg_gate.h"

#include <string.h>

/* Limits of edge/quality/gate.py: FLAT_RUN_S, SATURATED_S and LEAST_KURTOSIS. */
#define FLAT_64THS 160u         /* 2.5 s */
#define SATURATED_PER_SECOND 5u /* 0.2 s is a fifth of a second */
#define KURTOSIS_PERCENT 195

void anyecg_gate_init(struct anyecg_gate *g, uint32_t rate_hz, unsigned bits) {
  memset(g, 0, sizeof(*g));
  g->rate_hz = rate_hz;
  g->high = (int32_t)(((uint32_t)1 << (bits - 1u)) - 1u);
  g->low = -g->high - 1;
  g->why = (uint8_t)ANYECG_WARMING_UP;
}

void anyecg_gate_reset(struct anyecg_gate *g, uint8_t reason) {
  memset(g->at_limit, 0, sizeof(g->at_limit));
  memset(g->longest, 0, sizeof(g->longest));
  g->still = g->in_second = 0u;
  g->second = 0u;
  g->why = reason;
}

void anyecg_gate_sample(struct anyecg_gate *g, int32_t sample, uint8_t flags) {
  uint32_t run;

  g->still = sample == g->last ? g->still + 1u : 0u;
  g->last = sample;
  run = g->still * 64u / g->rate_hz;
  if (run > g->longest[g->second]) {
    g->longest[g->second] = (uint16_t)(run < 0xFFFFu ? run : 0xFFFFu);
  }
  if (sample <= g->low || sample >= g->high || (flags & ANYECG_SATURATED) != 0u) {
    g->at_limit[g->second]++;
  }
  if (++g->in_second >= g->rate_hz) {
    g->in_second = 0u;
    g->second = (uint8_t)(g->second < ANYECG_GATE_SECONDS ? g->second + 1u : 0u);
    g->at_limit[g->second] = g->longest[g->second] = 0u;
  }
}

/* Kurtosis of a window of z-scores: below the limit, its values spread evenly, as those of a sine or of noise. */
static bool too_even(const int8_t *window) {
  const int64_t count = ANYECG_STREAM_WINDOW;
  int64_t squares = 0, fourths = 0;
  unsigned i;

  for (i = 0u; i < ANYECG_STREAM_WINDOW; i++) {
    const int64_t square = (int64_t)window[i] * window[i];
    squares += square;
    fourths += square * square;
  }
  return 100 * count * fourths < KURTOSIS_PERCENT * squares * squares;
}

uint8_t anyecg_gate_judge(const struct anyecg_gate *g, bool complete, const int8_t *window) {
  uint32_t at_limit = 0u, longest = 0u;
  bool varies = false;
  unsigned i;

  if (!complete) {
    return g->why;
  }
  for (i = 0u; i <= ANYECG_GATE_SECONDS; i++) {
    at_limit += g->at_limit[i];
    longest = g->longest[i] > longest ? g->longest[i] : longest;
  }
  for (i = 0u; i < ANYECG_STREAM_WINDOW && !varies; i++) {
    varies = window[i] != 0;
  }
  if (at_limit * SATURATED_PER_SECOND >= g->rate_hz) {
    return (uint8_t)ANYECG_SATURATED_WINDOW;
  }
  if (longest >= FLAT_64THS || !varies) {
    return (uint8_t)ANYECG_FLAT;
  }
  return (uint8_t)(too_even(window) ? ANYECG_POOR_SIGNAL : ANYECG_NO_REASON);
}
