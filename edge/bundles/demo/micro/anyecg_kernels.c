#include "anyecg_kernels.h"

/* Right shifts of negative numbers vary by compiler; this code needs the arithmetic one, which all common ones have. */
typedef char anyecg_needs_arithmetic_shift[(-3 >> 1) == -2 ? 1 : -1];

#define SHIFT_BITS 5u
#define SHIFT_MASK 31
#define LARGE_FACTOR ((int32_t)1 << 19)

/* round(value * multiplier / 2**31), halves up. |value| is less than 2**30, as the generator checks. */
#if ANYECG_DSP

static inline int32_t multiplied(int32_t value, int32_t multiplier) {
  int32_t product;

  /* round(2 * value * multiplier / 2**32) */
  __asm("smmulr %0, %1, %2" : "=r"(product) : "r"(value * 2), "r"(multiplier));
  return product;
}

#elif ANYECG_NARROW

/* Called from many places, so it would be long when inlined. */
#if defined(__GNUC__)
#define ANYECG_OUTLINE __attribute__((noinline))
#else
#define ANYECG_OUTLINE
#endif

/* From four products of 16 bits. */
ANYECG_OUTLINE static int32_t multiplied(int32_t value, int32_t multiplier) {
  const int32_t value_high = value >> 16, multiplier_high = multiplier >> 16;
  const int32_t value_low = value & 0xFFFF, multiplier_low = multiplier & 0xFFFF;
  const uint32_t low = (uint32_t)value_low * (uint32_t)multiplier_low;
  const int32_t cross = value_high * multiplier_low, other = value_low * multiplier_high;
  const int32_t middle = (int32_t)(low >> 16) + (cross & 0xFFFF) + (other & 0xFFFF);
  const int32_t high = value_high * multiplier_high + (cross >> 16) + (other >> 16) + (middle >> 16);

  return high * 2 + (((middle & 0xFFFF) + 0x4000) >> 15);
}

#else

static inline int32_t multiplied(int32_t value, int32_t multiplier) {
  return (int32_t)(((int64_t)value * multiplier + ((int32_t)1 << 30)) >> 31);
}

#endif

/* The product, divided by 2**(shift + 1) and rounded, halves away from zero. */
static inline int32_t rescale(int32_t value, int32_t multiplier, int shift) {
  const int32_t product = multiplied(value, multiplier);

  return (((product + (product >> 31)) >> shift) + 1) >> 1;
}

static inline int32_t limited(int32_t value, const struct anyecg_limits *range) {
  value += range->zero;
#if ANYECG_FULL_RANGE && ANYECG_DSP
  __asm("ssat %0, #8, %0" : "+r"(value));
  return value;
#elif ANYECG_FULL_RANGE
  return value < INT8_MIN ? INT8_MIN : (value > INT8_MAX ? INT8_MAX : value);
#else
  return value < range->low ? range->low : (value > range->high ? range->high : value);
#endif
}

static inline int32_t scaled(int32_t sum, const struct anyecg_scale *scale, const struct anyecg_limits *range) {
  return limited(rescale(sum, scale->multiplier, scale->bias_shift & SHIFT_MASK), range);
}

static inline int32_t bias(const struct anyecg_scale *scale) { return scale->bias_shift >> SHIFT_BITS; }

#if ANYECG_DSP

/* Four bytes at an address that is a multiple of four; built in, so that it is one load in every build. */
static inline uint32_t word(const void *p) {
  uint32_t value;

  __builtin_memcpy(&value, __builtin_assume_aligned(p, 4), sizeof(value));
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
  const struct anyecg_limits range = layer->range;
  const struct anyecg_scale *scale = layer->scales;
  const int16_t *end = x + layer->inputs;
  const int8_t *w = layer->weights;
  unsigned left;

  for (left = layer->outputs; left != 0u;) {
    int32_t s0 = bias(scale), s1 = bias(scale + 1), s2 = bias(scale + 2), s3 = bias(scale + 3);
    const int16_t *v = x;

    do {
#if ANYECG_DSP
      const uint32_t v02 = word(v), v13 = word(v + 2);
      const uint32_t w0 = word(w), w1 = word(w + 4), w2 = word(w + 8), w3 = word(w + 12);
      s0 = both(odd(w0), v13, both(even(w0), v02, s0));
      s1 = both(odd(w1), v13, both(even(w1), v02, s1));
      s2 = both(odd(w2), v13, both(even(w2), v02, s2));
      s3 = both(odd(w3), v13, both(even(w3), v02, s3));
#else
      unsigned i;
      for (i = 0u; i < 4u; i++) {
        s0 += w[i] * v[i];
        s1 += w[i + 4u] * v[i];
        s2 += w[i + 8u] * v[i];
        s3 += w[i + 12u] * v[i];
      }
#endif
      w += 16;
      v += 4;
    } while (v != end);
    y[0] = (int8_t)scaled(s0, scale, &range);
    if (left > 1u) {
      y[1] = (int8_t)scaled(s1, scale + 1, &range);
    }
    if (left > 2u) {
      y[2] = (int8_t)scaled(s2, scale + 2, &range);
    }
    if (left <= 3u) {
      return;
    }
    y[3] = (int8_t)scaled(s3, scale + 3, &range);
    scale += ANYECG_GROUP;
    y += ANYECG_GROUP;
    left -= ANYECG_GROUP;
  }
}

void anyecg_depthwise(const struct anyecg_depthwise *layer, const int8_t *ring, unsigned oldest, int16_t *x) {
  const unsigned channels = layer->channels, size = layer->taps * channels;
  const struct anyecg_limits range = layer->range;
  const struct anyecg_scale *scale = layer->scales;
  const int8_t *w = layer->weights;
  unsigned c;

  for (c = 0u; c < channels; c += ANYECG_GROUP) {
    const int8_t *first = ring + oldest * channels + c; /* of the oldest vector */
    const int8_t *v = first;
    const int8_t *last = ring + size - channels; /* where the vector with the highest address begins */
    int32_t s0 = bias(scale), s1 = bias(scale + 1), s2 = bias(scale + 2), s3 = bias(scale + 3);

    do {
#if ANYECG_DSP
      const uint32_t fourw = word(w), fourv = word(v);
      const uint32_t w02 = even(fourw), v02 = even(fourv), w13 = odd(fourw), v13 = odd(fourv);
      s0 = low(w02, v02, s0);
      s1 = low(w13, v13, s1);
      s2 = high(w02, v02, s2);
      s3 = high(w13, v13, s3);
#else
      s0 += w[0] * v[0];
      s1 += w[1] * v[1];
      s2 += w[2] * v[2];
      s3 += w[3] * v[3];
#endif
      w += ANYECG_GROUP;
      if (v >= last) {
        v -= size - channels;
      } else {
        v += channels;
      }
    } while (v != first);
    x[ANYECG_LANE(0u)] = (int16_t)scaled(s0, scale, &range);
    x[ANYECG_LANE(1u)] = (int16_t)scaled(s1, scale + 1, &range);
    x[ANYECG_LANE(2u)] = (int16_t)scaled(s2, scale + 2, &range);
    x[ANYECG_LANE(3u)] = (int16_t)scaled(s3, scale + 3, &range);
    scale += ANYECG_GROUP;
    x += ANYECG_GROUP;
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
