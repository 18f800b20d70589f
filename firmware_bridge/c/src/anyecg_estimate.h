/* SPDX-License-Identifier: MIT
 *
 * From the outputs of the model to estimates, in integers: aggregation over the accepted windows of the last minutes,
 * calibration, thresholds. The Python counterpart is edge/estimate.py; windows count alike here and are not weighted by
 * their quality. With equal weights a score differs from Python's by at most 2**-15 of a logit or unit.
 */
#ifndef ANYECG_ESTIMATE_H
#define ANYECG_ESTIMATE_H

#include <stdbool.h>
#include <stdint.h>

#include "anyecg_messages.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A head in fixed point: anyecg_heads_q of a package. */
enum anyecg_head_field {
  ANYECG_Q_SLOPE = 0,     /* score per step of the output, times 2**24 */
  ANYECG_Q_OFFSET = 1,    /* score at step 0, times 2**16 */
  ANYECG_Q_THRESHOLD = 2, /* score from which the flag is raised, times 2**16; INT32_MAX for none */
  ANYECG_Q_INDEX = 3,     /* number of the model's output */
  ANYECG_Q_FIELDS = 4
};

/* Bytes of memory for a number of windows and heads. */
#define ANYECG_ESTIMATOR_BYTES(windows, heads) ((size_t)(windows) * (sizeof(uint32_t) + (size_t)(heads)))

struct anyecg_estimator {
  const int32_t (*heads)[ANYECG_Q_FIELDS];
  uint32_t *ends_s;            /* time of each held window, seconds */
  int8_t *values;              /* its outputs, by head */
  struct anyecg_head_score *scores; /* one per head: the newest estimate */
  uint32_t span_s;
  uint16_t capacity, oldest, held;
  uint8_t count;
  int8_t zero_point;
};

struct anyecg_estimator_config {
  const int32_t (*heads)[ANYECG_Q_FIELDS];
  uint8_t count;     /* heads */
  int8_t zero_point; /* ANYECG_OUTPUT_ZERO_POINT */
  uint32_t span_s;   /* seconds over which windows are aggregated */
  uint32_t *memory;  /* ANYECG_ESTIMATOR_BYTES(windows, count) */
  uint16_t windows;  /* accepted windows that fit: span divided by the time between them */
  struct anyecg_head_score *scores; /* count of them */
};

/* Returns false if the configuration is not valid. */
bool anyecg_estimator_init(struct anyecg_estimator *estimator, const struct anyecg_estimator_config *config);

/* Forgets all windows. */
void anyecg_estimator_reset(struct anyecg_estimator *estimator);

/* Takes the outputs of an accepted window that ended at a time, which must not go back, and computes the estimates.
 * Returns the number of windows in them; estimator->scores holds them. */
uint16_t anyecg_estimator_add(struct anyecg_estimator *estimator, const int8_t *outputs, uint32_t end_s);

#ifdef __cplusplus
}
#endif

#endif
