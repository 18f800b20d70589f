/* Runs windows from standard input through the network and writes the outputs; -s runs it step by step. */
#include <stdio.h>
#include <string.h>

#include "anyecg_network.h"

static struct anyecg_network network;

int main(int argc, char **argv) {
  const bool by_step = argc > 1 && strcmp(argv[1], "-s") == 0;
  int8_t window[ANYECG_INPUT_VALUES];
  int8_t outputs[ANYECG_OUTPUT_VALUES];

  while (fread(window, 1, sizeof(window), stdin) == sizeof(window)) {
    if (by_step) {
      anyecg_network_begin(&network, window, outputs);
      while (anyecg_network_step(&network)) {
      }
    } else {
      anyecg_predict(&network, window, outputs);
    }
    if (fwrite(outputs, 1, sizeof(outputs), stdout) != sizeof(outputs)) {
      return 1;
    }
  }
  return 0;
}
