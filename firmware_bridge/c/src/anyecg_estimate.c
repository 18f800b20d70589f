/* SPDX-License-Identifier: MIT */
#include "anyecg_estimate.h"

#include <stddef.h>

#define SLOPE_BITS 8u /* of a slope beyond those of a score */

bool anyecg_estimator_init(struct anyecg_estimator *e, const struct anyecg_estimator_config *config) {
  if (config->heads == NULL || config->count == 0u || config->memory == NULL || config->windows == 0u ||
      config->scores == NULL || config->span_s == 0u) {
    return false;
  }
  e->heads = config->heads;
  e->count = config->count;
  e->zero_point = config->zero_point;
  e->span_s = config->span_s;
  e->capacity = config->windows;
  e->ends_s = config->memory;
  e->values = (int8_t *)(config->memory + config->windows);
  e->scores = config->scores;
  anyecg_estimator_reset(e);
  return true;
}

void anyecg_estimator_reset(struct anyecg_estimator *e) { e->oldest = e->held = 0u; }

static uint16_t slot(const struct anyecg_estimator *e, uint16_t number) {
  const unsigned at = (unsigned)e->oldest + number;
  return (uint16_t)(at < e->capacity ? at : at - e->capacity);
}

static void drop_oldest(struct anyecg_estimator *e) {
  e->oldest = slot(e, 1u);
  e->held--;
}

static int32_t clipped(int64_t value) {
  return (int32_t)(value > INT32_MAX ? INT32_MAX : (value < -INT32_MAX ? -INT32_MAX : value));
}

/* Divides by a positive number and rounds to the nearest, halves away from zero. */
static int64_t divided(int64_t value, int64_t by) {
  return value >= 0 ? (value + by / 2) / by : -((by / 2 - value) / by);
}

static void estimate(struct anyecg_estimator *e) {
  uint8_t h;

  for (h = 0u; h < e->count; h++) {
    const int32_t *head = e->heads[h];
    int64_t total = 0;
    uint16_t i;

    for (i = 0u; i < e->held; i++) {
      total += e->values[(size_t)slot(e, i) * e->count + h] - e->zero_point;
    }
    e->scores[h].score = clipped(divided(total * head[ANYECG_Q_SLOPE], (int64_t)e->held * (1 << SLOPE_BITS)) +
                                 head[ANYECG_Q_OFFSET]);
    e->scores[h].state = 0u;
    if (head[ANYECG_Q_THRESHOLD] != INT32_MAX) {
      e->scores[h].state = (uint8_t)(ANYECG_DECIDED | (e->scores[h].score >= head[ANYECG_Q_THRESHOLD] ? ANYECG_FLAG : 0u));
    }
  }
}

uint16_t anyecg_estimator_add(struct anyecg_estimator *e, const int8_t *outputs, uint32_t end_s) {
  int8_t *to;
  uint8_t h;

  while (e->held > 0u && (e->held == e->capacity || end_s - e->ends_s[e->oldest] >= e->span_s)) {
    drop_oldest(e);
  }
  to = e->values + (size_t)slot(e, e->held) * e->count;
  for (h = 0u; h < e->count; h++) {
    to[h] = outputs[e->heads[h][ANYECG_Q_INDEX]];
  }
  e->ends_s[slot(e, e->held)] = end_s;
  e->held++;
  estimate(e);
  return e->held;
}
