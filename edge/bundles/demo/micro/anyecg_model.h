/* The model: a TFLite flatbuffer in flash. */
#ifndef ANYECG_MODEL_H
#define ANYECG_MODEL_H

#include <stdint.h>

#include "anyecg_config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* 16-byte aligned, as TFLite Micro wants it. */
extern const uint8_t anyecg_model[ANYECG_MODEL_BYTES];

#ifdef __cplusplus
}
#endif

#endif
