/* SPDX-License-Identifier: MIT */
#ifndef ANYECG_SELFTEST_H
#define ANYECG_SELFTEST_H

/* Runs the vectors through this library on this very processor. Returns how many fail, and says which. */
unsigned anyecg_selftest(void (*say)(const char *name));

#endif
