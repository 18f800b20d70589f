/* SPDX-License-Identifier: MIT
 *
 * The self-test as a program. The exit status is 0 only if every vector passes.
 */
#include <stdio.h>

#include "anyecg_selftest.h"

static void say(const char *name) { printf("anyecg self-test: FAILED: %s\n", name); }

int main(void) {
  const unsigned failed = anyecg_selftest(say);

  printf("anyecg self-test: %s\n", failed == 0u ? "ok" : "FAILED");
  return failed == 0u ? 0 : 1;
}
