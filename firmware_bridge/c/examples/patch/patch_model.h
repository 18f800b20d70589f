/* SPDX-License-Identifier: MIT
 *
 * The model of the example patch: the package of a bundle (anyecg micro-package), in plain C99 or, with -DANYECG_TFLM,
 * through TFLite Micro.
 */
#ifndef PATCH_MODEL_H
#define PATCH_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "anyecg_estimate.h"

/* Seconds between two estimates. Ten use every second of signal once; docs/energy.md says what fewer cost. */
#ifndef ESTIMATE_HOP_S
#define ESTIMATE_HOP_S 10u
#endif
/* Accepted windows that are aggregated: five minutes of them. */
#ifndef ESTIMATE_WINDOWS
#define ESTIMATE_WINDOWS (300u / ESTIMATE_HOP_S)
#endif

/* Sets up the estimator for the heads of the model. */
bool patch_model_init(struct anyecg_estimator *estimator);

/* ANYECG_IDENTITY_BYTES: the model and its calibration. */
const uint8_t *patch_model_identity(void);

/* Begins a window, which must stay as it is until patch_model_step() returns false. */
void patch_model_begin(const int8_t *window);

/* Does a part of the work. Returns whether there is more. */
bool patch_model_step(void);

/* The outputs of the newest window and their number; NULL if TFLite Micro failed. */
const int8_t *patch_model_outputs(unsigned *count);

#endif
