/* Checks the generated arrays without TFLite Micro: exit status 0 when all is well. ../main.cc runs the model. */
#include <stdio.h>

#include "anyecg_check.h"
#include "anyecg_config.h"

int main(void) {
  static const struct {
    int fault;
    const char *what;
  } known[] = {
      {ANYECG_FAULT_MODEL_ALIGNMENT, "the model is not aligned to 16 bytes"},
      {ANYECG_FAULT_MODEL_BYTES, "the model's bytes are not those that were generated"},
      {ANYECG_FAULT_GOLDEN_INPUTS, "the golden inputs are not those that were generated"},
      {ANYECG_FAULT_GOLDEN_OUTPUTS, "the golden outputs are not those that were generated"},
      {ANYECG_FAULT_FRONTEND, "the low-pass of the front end does not add up to one"},
      {ANYECG_FAULT_HEADS, "a head is incomplete or points beyond the outputs"},
  };
  const int faults = anyecg_check();
  size_t i;

  for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
    if (faults & known[i].fault) {
      printf("anyecg check: %s\n", known[i].what);
    }
  }
  printf("anyecg check: %s: model %lu bytes, %lu golden windows, %lu heads, arena %lu bytes\n",
         faults ? "FAILED" : "ok", (unsigned long)ANYECG_MODEL_BYTES, (unsigned long)ANYECG_GOLDEN_WINDOWS,
         (unsigned long)ANYECG_HEADS, (unsigned long)ANYECG_ARENA_BYTES);
  return faults ? 1 : 0;
}
