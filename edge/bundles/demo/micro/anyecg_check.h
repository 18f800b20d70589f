/* Integrity of the generated arrays; needs no interpreter, so it runs anywhere. */
#ifndef ANYECG_CHECK_H
#define ANYECG_CHECK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum anyecg_fault {
  ANYECG_FAULT_MODEL_ALIGNMENT = 1,
  ANYECG_FAULT_MODEL_BYTES = 2,
  ANYECG_FAULT_GOLDEN_INPUTS = 4,
  ANYECG_FAULT_GOLDEN_OUTPUTS = 8,
  ANYECG_FAULT_FRONTEND = 16,
  ANYECG_FAULT_HEADS = 32
};

/* CRC-32 as zlib, PNG and Ethernet use it (polynomial 0xEDB88320). */
uint32_t anyecg_crc32(const void *data, size_t bytes);

/* Returns 0, or the sum of the anyecg_fault values that were found. */
int anyecg_check(void);

#ifdef __cplusplus
}
#endif

#endif
