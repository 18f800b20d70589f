/* SPDX-License-Identifier: MIT
 *
 * Whether a window may be estimated, in integers: electrode, gap, flat line, converter at its limit, and a shape that no
 * ECG has. It is a part of edge/quality/gate.py, which also judges every beat and refuses more windows.
 */
#ifndef ANYECG_GATE_H
#define ANYECG_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "anyecg_messages.h"
#include "ecg_frontend.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ANYECG_GATE_SECONDS 10u

struct anyecg_gate {
  uint32_t rate_hz;
  uint32_t still;                              /* samples in a row with one value */
  uint32_t in_second;                          /* samples of the second that is being filled */
  uint16_t at_limit[ANYECG_GATE_SECONDS + 1u]; /* samples at a limit of the converter, by second */
  uint16_t longest[ANYECG_GATE_SECONDS + 1u];  /* longest run of one value, 1/64 s, by second */
  int32_t low, high;                           /* limits of the converter */
  int32_t last;
  uint8_t second; /* position in both */
  uint8_t why;    /* enum anyecg_reason while a window is incomplete */
};

/* rate_hz is the converter's sampling rate, bits its resolution. */
void anyecg_gate_init(struct anyecg_gate *gate, uint32_t rate_hz, unsigned bits);

/* Begins a new segment, as anyecg_stream_reset() does. reason: ANYECG_GAP or ANYECG_LEAD_OFF_WINDOW. */
void anyecg_gate_reset(struct anyecg_gate *gate, uint8_t reason);

/* Takes a sample of the converter. flags: ANYECG_SATURATED. */
void anyecg_gate_sample(struct anyecg_gate *gate, int32_t sample, uint8_t flags);

/* Judges the newest window. complete: the result of anyecg_stream_window(), which wrote window. Returns
 * ANYECG_NO_REASON if it may be estimated. */
uint8_t anyecg_gate_judge(const struct anyecg_gate *gate, bool complete, const int8_t *window);

#ifdef __cplusplus
}
#endif

#endif
