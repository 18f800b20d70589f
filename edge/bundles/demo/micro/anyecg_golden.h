/* Golden windows: int8 inputs and the outputs that a correct interpreter gives for them, to the last bit. */
#ifndef ANYECG_GOLDEN_H
#define ANYECG_GOLDEN_H

#include <stdint.h>

#include "anyecg_config.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const int8_t anyecg_golden_inputs[ANYECG_GOLDEN_WINDOWS][ANYECG_INPUT_VALUES];
extern const int8_t anyecg_golden_outputs[ANYECG_GOLDEN_WINDOWS][ANYECG_OUTPUT_VALUES];

#ifdef __cplusplus
}
#endif

#endif
