/*
 * Arithmetic of the network: the same for every student; anyecg_layers.c has its layers.
 *
 * All values are int8 steps. A sum over channels or taps is an exact int32, to which a channel's scale is applied as in
 * TFLite Micro's reference kernels: a product with a 31-bit multiplier, rounded to the nearest, halves up, and a division
 * by a power of two, rounded to the nearest, halves away from zero. Zero points of inputs are part of the biases.
 */
#ifndef ANYECG_KERNELS_H
#define ANYECG_KERNELS_H

#include <stdint.h>

#include "anyecg_config.h" /* ANYECG_FULL_RANGE: whether no layer limits its outputs more than int8 does */

#ifdef __cplusplus
extern "C" {
#endif

/* Words with DSP instructions: two values of 16 bits are multiplied at once. Define ANYECG_NO_DSP for the plain form. */
#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__) && !defined(__ARM_BIG_ENDIAN) && !defined(ANYECG_NO_DSP)
#define ANYECG_DSP 1
#else
#define ANYECG_DSP 0
#endif

/* Processors that do not multiply 32 bits by 32 to 64: the ESP8266 has the only Xtensa with this calling convention. */
#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__) || defined(__XTENSA_CALL0_ABI__)
#define ANYECG_NARROW 1
#elif !defined(ANYECG_NARROW)
#define ANYECG_NARROW 0
#endif

/* Kernels with DSP instructions read four weights at once. */
#if defined(__GNUC__)
#define ANYECG_ALIGN4 __attribute__((aligned(4)))
#else
#define ANYECG_ALIGN4
#endif

/* Position of value i in a vector that anyecg_dense() reads. */
#if ANYECG_DSP
#define ANYECG_LANE(i) (((i) & ~3u) | (((i) & 1u) << 1) | (((i) >> 1) & 1u))
#else
#define ANYECG_LANE(i) (i)
#endif

/* Channels that a kernel computes together; tables have zeros up to a multiple of it. */
#define ANYECG_GROUP 4u

/* Scale and bias of one output channel, 8 bytes. */
struct anyecg_scale {
  int32_t bias_shift; /* bias * 32 + (division by 2 to the power of shift) - 1 */
  int32_t multiplier;
};

/* Offset and limits of a layer's outputs. */
struct anyecg_limits {
  int8_t zero;
  int8_t low;
  int8_t high;
};

/* Every output from every input: a convolution with a kernel of one, or one that sees its inputs side by side. */
struct anyecg_dense {
  const int8_t *weights; /* [outputs / 4][inputs / 4][4 outputs][4 inputs] */
  const struct anyecg_scale *scales;
  uint16_t inputs; /* a multiple of 4 */
  uint16_t outputs;
  struct anyecg_limits range;
};

/* A convolution along time, separately for every channel. */
struct anyecg_depthwise {
  const int8_t *weights; /* [channels / 4][taps][4 channels] */
  const struct anyecg_scale *scales;
  uint16_t channels; /* a multiple of 4 */
  uint8_t taps;
  struct anyecg_limits range;
};

/* The sum of two tensors in a finer scale: that of the input with the larger scale, divided by 2**19. */
struct anyecg_add {
  int32_t factor; /* of the input with the smaller scale, before its multiplier */
  int32_t multiplier, multiplier_sum;
  uint8_t shift, shift_sum; /* less 1 */
  uint8_t swap;             /* 1 if the first input has the smaller scale */
  int8_t zero_large, zero_small;
  struct anyecg_limits range;
};

/* Mean over time. */
struct anyecg_mean {
  struct anyecg_scale scale;
  uint16_t channels;
  struct anyecg_limits range;
};

/* y[outputs] from x[inputs], whose values are at ANYECG_LANE(). */
void anyecg_dense(const struct anyecg_dense *layer, const int16_t *x, int8_t *y);

/* x[channels], at ANYECG_LANE(), from a ring of taps vectors, the oldest of which is at |oldest|. */
void anyecg_depthwise(const struct anyecg_depthwise *layer, const int8_t *ring, unsigned oldest, int16_t *x);

/* b[i] = a[i] + b[i] */
void anyecg_add(const struct anyecg_add *layer, const int8_t *a, int8_t *b, unsigned n);

/* x[channels], at ANYECG_LANE(), from the sums of the channels over time. */
void anyecg_mean(const struct anyecg_mean *layer, const int32_t *sums, int16_t *x);

#ifdef __cplusplus
}
#endif

#endif
