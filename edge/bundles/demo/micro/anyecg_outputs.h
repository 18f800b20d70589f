/*
 * What the outputs mean, and how they become probabilities and values.
 *
 *   x     = anyecg_dequantize(q), averaged over the accepted windows of the last ANYECG_AGGREGATION_MINUTES
 *   score = anyecg_score(head, x)
 *   ANYECG_PROBABILITY: probability = 1 / (1 + exp(-score));  ANYECG_VALUE: score is the value, in head->unit.
 *
 * An ECG estimate is no laboratory result. Heads whose tier is ANYECG_LIMITED must not raise a flag.
 */
#ifndef ANYECG_OUTPUTS_H
#define ANYECG_OUTPUTS_H

#include <stdint.h>

#include "anyecg_config.h"

#ifdef __cplusplus
extern "C" {
#endif

enum anyecg_kind { ANYECG_PROBABILITY = 0, ANYECG_VALUE = 1 };

enum anyecg_tier { ANYECG_LIMITED = 0, ANYECG_MODERATE = 1, ANYECG_STRONG = 2 };

enum anyecg_interval {
  ANYECG_INTERVAL_NONE = 0,
  ANYECG_INTERVAL_LOGIT_SD = 1, /* width is a standard deviation of the score */
  ANYECG_INTERVAL_CONFORMAL = 2 /* width is a half-width of the value */
};

struct anyecg_head {
  const char *key;       /* name of the output, unique */
  const char *lab;       /* what is estimated */
  const char *loinc;     /* code of the laboratory test, or a null pointer */
  const char *unit;      /* UCUM */
  const char *direction; /* "low", "high", "abnormal", or a null pointer */
  uint16_t index;        /* which model output */
  uint8_t kind;          /* enum anyecg_kind */
  uint8_t tier;          /* enum anyecg_tier: how strong the evidence is */
  uint8_t interval;      /* enum anyecg_interval */
  uint8_t has_threshold;
  float slope;
  float offset;
  float threshold; /* in the shown unit; 0 where has_threshold is 0 */
  float width;
  float level; /* nominal coverage of the interval */
};

extern const struct anyecg_head anyecg_heads[ANYECG_HEADS];

/* The calibration in fixed point, for anyecg_estimate.h of the patch's C library: per head the score per output step
 * times 2**24, the score at the zero point times 2**16, the score from which the flag is raised times 2**16 (INT32_MAX:
 * never), and the number of the output. A score is a calibrated logit or a value. */
extern const int32_t anyecg_heads_q[ANYECG_HEADS][4];

/* What a patch states of the model that it runs: it depends on the model and on every number of that table. */
extern const uint8_t anyecg_identity[8];

/* The real number behind an int8 output. */
static inline float anyecg_dequantize(int8_t q) {
  return (float)(q - ANYECG_OUTPUT_ZERO_POINT) * ANYECG_OUTPUT_SCALE;
}

/* The calibrated logit of a probability, or the calibrated value. */
static inline float anyecg_score(const struct anyecg_head *head, float x) {
  return head->slope * x + head->offset;
}

#ifdef __cplusplus
}
#endif

#endif
