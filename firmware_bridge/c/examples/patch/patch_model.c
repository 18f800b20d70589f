/* SPDX-License-Identifier: MIT */
#include "patch_model.h"

#include <stddef.h>
#include <string.h>

#include "anyecg_outputs.h"
#ifdef ANYECG_TFLM
#include "anyecg_model_invoke.h"
#else
#include "anyecg_network.h"
#endif

static uint32_t memory[(ANYECG_ESTIMATOR_BYTES(ESTIMATE_WINDOWS, ANYECG_HEADS) + 3u) / 4u];
static struct anyecg_head_score scores[ANYECG_HEADS];

bool patch_model_init(struct anyecg_estimator *estimator) {
  struct anyecg_estimator_config config;

  memset(&config, 0, sizeof(config));
  config.heads = anyecg_heads_q;
  config.count = (uint8_t)ANYECG_HEADS;
  config.zero_point = (int8_t)ANYECG_OUTPUT_ZERO_POINT;
  config.span_s = (uint32_t)(ANYECG_AGGREGATION_MINUTES * 60.0f);
  config.memory = memory;
  config.windows = (uint16_t)ESTIMATE_WINDOWS;
  config.scores = scores;
  return anyecg_estimator_init(estimator, &config);
}

const uint8_t *patch_model_identity(void) { return anyecg_identity; }

#ifdef ANYECG_TFLM
static const int8_t *input, *outputs;

void patch_model_begin(const int8_t *window) { input = window; }

bool patch_model_step(void) {
  outputs = anyecg_model_invoke(input);
  return false;
}
#else
static struct anyecg_network network;
static int8_t outputs[ANYECG_OUTPUT_VALUES];

void patch_model_begin(const int8_t *window) { anyecg_network_begin(&network, window, outputs); }

bool patch_model_step(void) { return anyecg_network_step(&network); }
#endif

const int8_t *patch_model_outputs(unsigned *count) {
  *count = (unsigned)ANYECG_OUTPUT_VALUES;
  return outputs;
}
