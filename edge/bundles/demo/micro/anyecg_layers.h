/* The layers of this network, in the order in which a window passes through them. */
#ifndef ANYECG_LAYERS_H
#define ANYECG_LAYERS_H

#include <stdint.h>

#include "anyecg_config.h"
#include "anyecg_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The convolution that reads the window: |taps| samples side by side, every |stride| samples. */
struct anyecg_stem {
  struct anyecg_dense dense; /* its inputs are the taps, and zeros up to a multiple of 4 */
  uint16_t steps;            /* vectors that it makes */
  uint8_t stride;
  uint8_t left; /* samples before the window that the first vector reads: they are |zero| */
  int8_t zero;
};

/* A depthwise convolution over a ring of vectors, a convolution with a kernel of one, and perhaps the residual sum. */
struct anyecg_block {
  struct anyecg_depthwise depth;
  struct anyecg_dense point;
  const struct anyecg_add *add; /* of the block's input and |point|; null where there is none */
  uint16_t ring;                /* its first byte in the memory of the rings */
  uint16_t steps;
  uint8_t stride;
  uint8_t left;
  int8_t zero; /* zero point of its input: what stands before and after the signal */
};

extern const struct anyecg_stem anyecg_stem;
extern const struct anyecg_block anyecg_blocks[ANYECG_BLOCKS];
extern const struct anyecg_mean anyecg_pool;
extern const struct anyecg_dense anyecg_heads_layers[ANYECG_HEAD_LAYERS];

#ifdef __cplusplus
}
#endif

#endif
