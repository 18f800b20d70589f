/* SPDX-License-Identifier: MIT
 *
 * The interface to the TFLite Micro package of a bundle (anyecg micro-package).
 */
#ifndef ANYECG_MODEL_INVOKE_H
#define ANYECG_MODEL_INVOKE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Number of the model's outputs (ANYECG_OUTPUT_VALUES of the package). */
extern const unsigned anyecg_model_outputs;

/* Runs the model on a window of ANYECG_INPUT_VALUES. Returns its outputs, valid until the next call; NULL if TFLite
 * Micro fails. anyecg_outputs.h of the package describes each output. */
const int8_t *anyecg_model_invoke(const int8_t *window);

#ifdef __cplusplus
}
#endif

#endif
