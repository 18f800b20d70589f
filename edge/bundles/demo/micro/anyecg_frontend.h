/*
 * Front end stream/1: what stands between millivolts (or counts: the gain does not matter) and the model's input.
 *
 * Per segment, a stretch of uniform samples x[] at ANYECG_FE_GRID_HZ without a gap:
 *
 *   1. low-pass and decimation, H = ANYECG_FE_LOWPASS_HALF, D = ANYECG_FE_DECIMATION, t = anyecg_fe_lowpass:
 *        low[i] = t[0] * x[i*D + H] + sum over k = 1..H of (x[i*D + H - k] + x[i*D + H + k]) * t[k]
 *   2. baseline, B = ANYECG_FE_BOXCAR_SAMPLES: two boxcars in a row, each the mean of B neighbours
 *        once[i] = (low[i] + ... + low[i + B - 1]) / B;  twice[i] = (once[i] + ... + once[i + B - 1]) / B
 *   3. out[j] = low[j + B - 1] - twice[j], at ANYECG_FE_FS_HZ. out[j] lies ANYECG_FE_GROUP_DELAY_S + j / FS after the
 *      first sample of the segment; out[0] exists once ANYECG_FE_WARMUP_SAMPLES + 1 samples are there.
 *   4. window of the last ANYECG_FE_WINDOW_SAMPLES of out[]: minus its mean, divided by its population standard
 *      deviation (all zeros where that is 0), clamped to +-ANYECG_FE_CLAMP,
 *      q = round half to even(value * ANYECG_FE_STEPS_PER_SD), clamped to -128..127.
 *
 * A gap, a lead off or a new session begins a new segment. Added in this order in double precision, low[] equals the
 * kit's own to the bit (the boxcars: by doubling, a[i] + a[i + 1], then + a[i + 2] and so on up to B / 2, scaled at the
 * end). float serves the model as well: in the kit's test q then differs by at most one step, in at most 1 % of the samples.
 */
#ifndef ANYECG_FRONTEND_H
#define ANYECG_FRONTEND_H

#include "anyecg_config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Half of the symmetric low-pass: [0] is the centre tap, [k] multiplies both neighbours at distance k. */
extern const double anyecg_fe_lowpass[ANYECG_FE_LOWPASS_HALF + 1];
extern const float anyecg_fe_lowpass_f32[ANYECG_FE_LOWPASS_HALF + 1];

#ifdef __cplusplus
}
#endif

#endif
