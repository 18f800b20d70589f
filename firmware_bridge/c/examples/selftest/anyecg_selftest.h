/* SPDX-License-Identifier: MIT */
#ifndef ANYECG_SELFTEST_H
#define ANYECG_SELFTEST_H

/* Runs the vectors through this library on this processor. Prints the failing ones and returns their number. */
unsigned anyecg_selftest(void (*say)(const char *name));

#endif
