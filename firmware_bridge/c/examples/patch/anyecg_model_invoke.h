/* SPDX-License-Identifier: MIT
 *
 * The one call by which a bundle's TFLite Micro package (anyecg micro-package) is linked.
 */
#ifndef ANYECG_MODEL_INVOKE_H
#define ANYECG_MODEL_INVOKE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Outputs that the model has (ANYECG_OUTPUT_VALUES of the package). */
extern const unsigned anyecg_model_outputs;

/* Runs the model on a window of ANYECG_INPUT_VALUES. Returns its outputs, valid until the next call; NULL where TFLite
 * Micro refuses. anyecg_outputs.h of the package says what each means. */
const int8_t *anyecg_model_invoke(const int8_t *window);

#ifdef __cplusplus
}
#endif

#endif
