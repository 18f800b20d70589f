/* libFuzzer: any window and any samples. The first byte chooses; both forms of the network must give the same outputs,
 * and no sanitizer may object. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "anyecg_push.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct anyecg_network network;
static struct anyecg_pusher pusher;
static int8_t window[ANYECG_INPUT_VALUES];

static void whole(const uint8_t *data, size_t size) {
  int8_t at_once[ANYECG_OUTPUT_VALUES], by_step[ANYECG_OUTPUT_VALUES];
  size_t i;

  for (i = 0u; i < sizeof(window); i++) {
    window[i] = size == 0u ? 0 : (int8_t)(data[i % size] ^ 0x80u);
  }
  anyecg_predict(&network, window, at_once);
  anyecg_network_begin(&network, window, by_step);
  while (anyecg_network_step(&network)) {
  }
  if (memcmp(at_once, by_step, sizeof(at_once)) != 0) {
    abort();
  }
}

static void by_sample(const uint8_t *data, size_t size) {
  const unsigned bits = 8u + data[0] % 9u, hop = 32u + data[1];
  unsigned i, ready = 0u;

  if (!anyecg_push_init(&pusher, data[2] % 2u != 0u ? 250u : 500u, bits, hop)) {
    abort();
  }
  for (i = 0u; i < 3600u; i++) {
    const size_t at = 3u + (2u * i) % (size - 4u);
    const int16_t sample = (int16_t)(uint16_t)(data[at] | (unsigned)data[at + 1u] << 8);
    if (sample == -32768 && i % 5u == 0u) {
      anyecg_push_gap(&pusher);
    }
    ready += anyecg_push(&pusher, sample) ? 1u : 0u;
  }
  if (ready > 10u) {
    abort();
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 8u || data[size - 1u] % 4u != 0u) {
    whole(data, size);
  } else {
    by_sample(data, size);
  }
  return 0;
}
