/* Self-test: runs the golden windows and compares every output. Exit status 0 only when all are equal. */
#include <stdio.h>

#include "anyecg_config.h"
#include "anyecg_golden.h"
#include "anyecg_network.h"

int main(void) {
  static struct anyecg_network network;
  static int8_t outputs[ANYECG_OUTPUT_VALUES];
  unsigned window, i, different = 0u;

  for (window = 0u; window < ANYECG_GOLDEN_WINDOWS; window++) {
    anyecg_predict(&network, anyecg_golden_inputs[window], outputs);
    for (i = 0u; i < ANYECG_OUTPUT_VALUES; i++) {
      different += outputs[i] != anyecg_golden_outputs[window][i] ? 1u : 0u;
    }
  }
  printf("anyecg self-test: %s: %u of %u outputs differ\n", different == 0u ? "ok" : "FAILED", different,
         ANYECG_GOLDEN_WINDOWS * ANYECG_OUTPUT_VALUES);
  return different == 0u ? 0 : 1;
}
