/*
 * Computes front end stream/1 from a package's parameters alone, as its header describes it, and compares with the kit:
 * bit for bit in double, and in float within one step of the model's input.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>

#include "anyecg_frontend.h"
#include "frontend_case.h" /* case_input[], case_stream[], case_window[], made by the test */

#define H ANYECG_FE_LOWPASS_HALF
#define D ANYECG_FE_DECIMATION
#define B ANYECG_FE_BOXCAR_SAMPLES
#define N ANYECG_FE_WINDOW_SAMPLES
#define LOW (N + 2u * B - 2u)

#define FRONT_END(real, name, taps)                                             \
  static void name(const double *input, real *out) {                            \
    static real low[LOW];                                                       \
    static real sum[LOW];                                                       \
    unsigned i, k, pass, step, left = LOW;                                      \
    for (i = 0; i < LOW; i++) {                                                 \
      low[i] = (real)input[i * D + H] * taps[0];                                \
      for (k = 1; k <= H; k++) {                                                \
        low[i] += ((real)input[i * D + H - k] + (real)input[i * D + H + k]) * taps[k]; \
      }                                                                         \
      sum[i] = low[i];                                                          \
    }                                                                           \
    for (pass = 0; pass < 2u; pass++) {                                         \
      for (step = 1; step < B; step *= 2u) {                                    \
        left -= step;                                                           \
        for (i = 0; i < left; i++) {                                            \
          sum[i] = sum[i + step] + sum[i];                                      \
        }                                                                       \
      }                                                                         \
    }                                                                           \
    for (i = 0; i < N; i++) {                                                   \
      out[i] = low[i + B - 1u] - sum[i] * ((real)1 / (real)(B * B));            \
    }                                                                           \
  }

FRONT_END(double, run_double, anyecg_fe_lowpass)
FRONT_END(float, run_float, anyecg_fe_lowpass_f32)

static int quantize(float value) {
  const float limited = fminf(fmaxf(value, -ANYECG_FE_CLAMP), ANYECG_FE_CLAMP);
  const long q = lrintf(limited * ANYECG_FE_STEPS_PER_SD);
  return q > 127 ? 127 : (int)q;
}

int main(void) {
  static double exact[N];
  static float single[N];
  unsigned i, different = 0, off_by_one = 0, worse = 0;
  float mean = 0.0f, variance = 0.0f, scale;

  run_double(case_input, exact);
  run_float(case_input, single);
  for (i = 0; i < N; i++) {
    const double gap = exact[i] - case_stream[i];
    different += gap > 0.0 || gap < 0.0;
    mean += single[i] / (float)N;
  }
  for (i = 0; i < N; i++) {
    variance += (single[i] - mean) * (single[i] - mean) / (float)N;
  }
  scale = variance > 0.0f ? 1.0f / sqrtf(variance) : 0.0f;
  for (i = 0; i < N; i++) {
    const int gap = quantize((single[i] - mean) * scale) - case_window[i];
    off_by_one += gap == 1 || gap == -1;
    worse += gap > 1 || gap < -1;
  }
  printf("front end: %u of %u doubles differ; in float %u off by one step, %u by more\n", different, N, off_by_one,
         worse);
  return different == 0u && worse == 0u && off_by_one <= N / 100u ? 0 : 1;
}
