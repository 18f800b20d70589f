/*
 * The network in plain C99: one window of the front end in, one int8 logit per head out, bit for bit what TFLite Micro's
 * reference kernels give. No interpreter, no allocation, no floating point, no library besides string.h.
 *
 * anyecg_predict() runs a whole window. anyecg_network_begin() and anyecg_network_step() do the same in pieces of bounded
 * length, so that a processor can do something else in between; anyecg_push.h spreads them over the samples of a hop.
 *
 * The caller owns all memory. Nothing here is shared: a program may run as many networks as it has structures.
 */
#ifndef ANYECG_NETWORK_H
#define ANYECG_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "anyecg_config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The ring of one block: where the next vector goes, and how many vectors are missing until the block can run. */
struct anyecg_ring_state {
  uint16_t made; /* vectors that the stage has made */
  uint8_t slot;
  uint8_t missing;
};

struct anyecg_network {
  /* First, because kernels with DSP instructions read four channels at once. */
  union {
    int8_t bytes[ANYECG_RINGS_BYTES];
    uint32_t words[ANYECG_RINGS_BYTES / 4u];
  } rings;
  int32_t sums[ANYECG_POOL_CHANNELS]; /* of the last block's vectors, for the mean over time */
  struct anyecg_ring_state stages[ANYECG_STAGES];
  const int8_t *window;
  int8_t *outputs;
  uint32_t work; /* of the last step, in parts of ANYECG_WORK */
  uint8_t next;  /* stage after the one that ran last */
};

/* Runs the network on one window.
 *
 * |window|: ANYECG_INPUT_VALUES values of the front end; may be in flash.
 * |outputs|: ANYECG_OUTPUT_VALUES logits in steps of ANYECG_OUTPUT_SCALE. */
void anyecg_predict(struct anyecg_network *network, const int8_t *window, int8_t *outputs);

/* Begins a window. Both arrays must stay as they are until anyecg_network_step() returns false. */
void anyecg_network_begin(struct anyecg_network *network, const int8_t *window, int8_t *outputs);

/* Computes the next vector of one stage. Returns whether there is more to do; the outputs are complete when not. */
bool anyecg_network_step(struct anyecg_network *network);

#ifdef __cplusplus
}
#endif

#endif
