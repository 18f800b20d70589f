/* SPDX-License-Identifier: MIT
 *
 * The estimating half of the example patch: gate, front end, network, aggregation, calibration and thresholds, with the
 * package of a bundle (anyecg micro-package). The network runs in small steps, so that no sample waits for it.
 */
#ifndef PATCH_ESTIMATE_H
#define PATCH_ESTIMATE_H

#include <stdbool.h>
#include <stdint.h>

#include "anyecg_patch.h"

/* Fills in what HELLO says of the model. bits is the resolution of the converter. Returns false if it does not fit. */
bool patch_estimate_init(struct anyecg_hello *hello, unsigned bits);

/* Takes a sample of the converter with its flags; index is patch->index after it. */
void patch_estimate_sample(int32_t sample, uint8_t flags, uint32_t index);

/* The converter lost samples: call it where you call anyecg_patch_overrun(). */
void patch_estimate_gap(void);

/* Does a small part of the work, and reports a result to the patch. Returns whether there is more to do now. */
bool patch_estimate_work(struct anyecg_patch *patch);

#endif
