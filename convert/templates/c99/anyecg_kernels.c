#include "anyecg_kernels.h"

#include <string.h>

/* Right shifts of negative numbers vary by compiler; this code needs the arithmetic one, which all common ones have. */
typedef char anyecg_needs_arithmetic_shift[(-3 >> 1) == -2 ? 1 : -1];

#define SHIFT_BITS 5u
#define SHIFT_MASK 31
#define LARGE_FACTOR ((int32_t)1 << 19)

/* round(value * multiplier / 2**31), halves up; then round(that / 2**(shift + 1)), halves away from zero. */
static inline int32_t rescale(int32_t value, int32_t multiplier, int shift) {
  const int32_t product = (int32_t)(((int64_t)value * multiplier + ((int32_t)1 << 30)) >> 31);

  return (((product + (product >> 31)) >> shift) + 1) >> 1;
}

static inline int32_t limited(int32_t value, const struct anyecg_range *range) {
  value += range->zero;
  return value < range->low ? range->low : (value > range->high ? range->high : value);
}

static inline int32_t scaled(int32_t sum, const struct anyecg_scale *scale, const struct anyecg_range *range) {
  return limited(rescale(sum, scale->multiplier, scale->bias_shift & SHIFT_MASK), range);
}

static inline int32_t bias(const struct anyecg_scale *scale) { return scale->bias_shift >> SHIFT_BITS; }

#if ANYECG_DSP

static inline uint32_t word(const void *p) {
  uint32_t value;

  memcpy(&value, p, sizeof(value));
  return value;
}

/* The first and third of four int8 values, extended to 16 bits. */
static inline uint32_t even(uint32_t four) {
  uint32_t two;

  __asm("sxtb16 %0, %1" : "=r"(two) : "r"(four));
  return two;
}

/* The second and fourth. */
static inline uint32_t odd(uint32_t four) {
  uint32_t two;

  __asm("sxtb16 %0, %1, ror #8" : "=r"(two) : "r"(four));
  return two;
}

/* sum + low half * low half + high half * high half */
static inline int32_t both(uint32_t a, uint32_t b, int32_t sum) {
  __asm("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
  return sum;
}

static inline int32_t low(uint32_t a, uint32_t b, int32_t sum) {
  __asm("smlabb %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
  return sum;
}

static inline int32_t high(uint32_t a, uint32_t b, int32_t sum) {
  __asm("smlatt %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
  return sum;
}

#endif

void anyecg_dense(const struct anyecg_dense *layer, const int16_t *x, int8_t *y) {
  const unsigned n = layer->inputs;
  const struct anyecg_scale *scale = layer->scales;
  const int8_t *w0 = layer->weights;
  unsigned o, i;

  /* Two outputs at a time, because they share their inputs. */
  for (o = 0u; o < layer->outputs; o += 2u) {
    const unsigned second = o + 1u < layer->outputs ? 1u : 0u;
    const int8_t *w1 = w0 + second * n;
    int32_t sum0 = bias(scale), sum1 = bias(scale + second);

#if ANYECG_DSP
    for (i = 0u; i < n; i += 4u) {
      const uint32_t x02 = word(x + i), x13 = word(x + i + 2u);
      const uint32_t four0 = word(w0 + i), four1 = word(w1 + i);
      sum0 = both(even(four0), x02, sum0);
      sum1 = both(even(four1), x02, sum1);
      sum0 = both(odd(four0), x13, sum0);
      sum1 = both(odd(four1), x13, sum1);
    }
#else
    for (i = 0u; i < n; i++) {
      sum0 += w0[i] * x[i];
      sum1 += w1[i] * x[i];
    }
#endif
    y[o] = (int8_t)scaled(sum0, scale, &layer->range);
    if (second != 0u) {
      y[o + 1u] = (int8_t)scaled(sum1, scale + 1, &layer->range);
    }
    scale += 2;
    w0 += 2u * n;
  }
}

void anyecg_depthwise(const struct anyecg_depthwise *layer, const int8_t *ring, unsigned oldest, int16_t *x) {
  const unsigned channels = layer->channels, taps = layer->taps;
  const struct anyecg_scale *scale = layer->scales;
  const int8_t *w = layer->weights;
  unsigned c;

  for (c = 0u; c < channels; c += 4u) {
    const int8_t *v = ring + oldest * channels + c;
    const int8_t *end = ring + taps * channels;
    int32_t s0 = bias(scale), s1 = bias(scale + 1), s2 = bias(scale + 2), s3 = bias(scale + 3);
    unsigned t;

    for (t = 0u; t < taps; t++) {
#if ANYECG_DSP
      const uint32_t fourw = word(w), fourv = word(v);
      const uint32_t w02 = even(fourw), v02 = even(fourv), w13 = odd(fourw), v13 = odd(fourv);
      s0 = low(w02, v02, s0);
      s2 = high(w02, v02, s2);
      s1 = low(w13, v13, s1);
      s3 = high(w13, v13, s3);
#else
      s0 += w[0] * v[0];
      s1 += w[1] * v[1];
      s2 += w[2] * v[2];
      s3 += w[3] * v[3];
#endif
      w += 4;
      v += channels;
      if (v >= end) {
        v -= taps * channels;
      }
    }
    x[ANYECG_LANE(c)] = (int16_t)scaled(s0, scale, &layer->range);
    x[ANYECG_LANE(c + 1u)] = (int16_t)scaled(s1, scale + 1, &layer->range);
    x[ANYECG_LANE(c + 2u)] = (int16_t)scaled(s2, scale + 2, &layer->range);
    x[ANYECG_LANE(c + 3u)] = (int16_t)scaled(s3, scale + 3, &layer->range);
    scale += 4;
  }
}

void anyecg_add(const struct anyecg_add *layer, const int8_t *a, int8_t *b, unsigned n) {
  const int8_t *large = layer->swap != 0u ? b : a;
  const int8_t *small = layer->swap != 0u ? a : b;
  unsigned i;

  for (i = 0u; i < n; i++) {
    const int32_t value = (small[i] - layer->zero_small) * layer->factor;
    const int32_t sum = (large[i] - layer->zero_large) * LARGE_FACTOR + rescale(value, layer->multiplier, layer->shift);
    b[i] = (int8_t)limited(rescale(sum, layer->multiplier_sum, layer->shift_sum), &layer->range);
  }
}

void anyecg_mean(const struct anyecg_mean *layer, const int32_t *sums, int16_t *x) {
  unsigned c;

  for (c = 0u; c < layer->channels; c++) {
    x[ANYECG_LANE(c)] = (int16_t)scaled(sums[c] + bias(&layer->scale), &layer->scale, &layer->range);
  }
}
