#include "anyecg_check.h"

#include <string.h>

#include "anyecg_config.h"
#include "anyecg_frontend.h"
#include "anyecg_golden.h"
#include "anyecg_model.h"
#include "anyecg_outputs.h"

uint32_t anyecg_crc32(const void *data, size_t bytes) {
  const uint8_t *p = (const uint8_t *)data;
  uint32_t crc = 0xFFFFFFFFu;
  size_t i;
  int bit;

  for (i = 0; i < bytes; i++) {
    crc ^= p[i];
    for (bit = 0; bit < 8; bit++) {
      crc = (crc >> 1) ^ ((crc & 1u) ? 0xEDB88320u : 0u);
    }
  }
  return crc ^ 0xFFFFFFFFu;
}

static int heads_are_sound(void) {
  size_t i;

  for (i = 0; i < ANYECG_HEADS; i++) {
    const struct anyecg_head *head = &anyecg_heads[i];
    if (head->key == NULL || head->lab == NULL || head->unit == NULL || head->index >= ANYECG_OUTPUT_VALUES) {
      return 0;
    }
  }
  return 1;
}

/* A low-pass passes a constant unchanged: its taps add up to one. */
static int lowpass_is_sound(void) {
  double sum = anyecg_fe_lowpass[0];
  float sum_f32 = anyecg_fe_lowpass_f32[0];
  double off;
  float off_f32;
  size_t k;

  for (k = 1; k <= ANYECG_FE_LOWPASS_HALF; k++) {
    sum += 2.0 * anyecg_fe_lowpass[k];
    sum_f32 += 2.0f * anyecg_fe_lowpass_f32[k];
  }
  off = sum - 1.0;
  off_f32 = sum_f32 - 1.0f;
  return off < 1e-12 && off > -1e-12 && off_f32 < 1e-5f && off_f32 > -1e-5f;
}

int anyecg_check(void) {
  int faults = 0;

  if (((uintptr_t)anyecg_model & 15u) != 0u) {
    faults |= ANYECG_FAULT_MODEL_ALIGNMENT;
  }
  if (memcmp(anyecg_model + 4, "TFL3", 4) != 0 ||
      anyecg_crc32(anyecg_model, sizeof(anyecg_model)) != ANYECG_MODEL_CRC32) {
    faults |= ANYECG_FAULT_MODEL_BYTES;
  }
  if (anyecg_crc32(anyecg_golden_inputs, sizeof(anyecg_golden_inputs)) != ANYECG_GOLDEN_INPUTS_CRC32) {
    faults |= ANYECG_FAULT_GOLDEN_INPUTS;
  }
  if (anyecg_crc32(anyecg_golden_outputs, sizeof(anyecg_golden_outputs)) != ANYECG_GOLDEN_OUTPUTS_CRC32) {
    faults |= ANYECG_FAULT_GOLDEN_OUTPUTS;
  }
  if (!lowpass_is_sound()) {
    faults |= ANYECG_FAULT_FRONTEND;
  }
  if (!heads_are_sound()) {
    faults |= ANYECG_FAULT_HEADS;
  }
  return faults;
}
