/*
 * From samples of the converter to outputs, without ever stopping for long: each call filters one sample and does a
 * bounded part of the work on the newest window, which is spread over the samples until the next one.
 *
 * The results are those of anyecg_stream_window() and anyecg_predict() at the sample that completed the window; they are
 * ready up to one hop later.
 */
#ifndef ANYECG_PUSH_H
#define ANYECG_PUSH_H

#include <stdbool.h>
#include <stdint.h>

#include "anyecg_config.h"
#include "anyecg_network.h"
#include "anyecg_stream.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ANYECG_HOP_MIN 32u /* 125 Hz samples */
#define ANYECG_HOP_MAX 8000u

struct anyecg_pusher {
  struct anyecg_stream stream;
  struct anyecg_score score;
  struct anyecg_network network;
  int8_t window[ANYECG_INPUT_VALUES];
  int8_t outputs[ANYECG_OUTPUT_VALUES]; /* of the newest window that is complete */
  int32_t share;                        /* of the network's work, for each sample */
  int32_t due;                          /* work that should have been done by now; negative if more was done */
  uint16_t hop;                         /* 125 Hz samples from window to window */
  uint16_t until;                       /* the same until the next window */
  uint8_t stage;                        /* what is in progress: nothing, the window, the network */
};

/* Begins a session.
 *
 * |grid_hz|: rate of the samples, 250 or 500. |bits|: resolution of the converter, 8 to 16.
 * |hop|: 125 Hz samples between windows, such as 125 for one second. Returns false for any other value. */
bool anyecg_push_init(struct anyecg_pusher *pusher, unsigned grid_hz, unsigned bits, unsigned hop);

/* Processes the next sample. Returns whether |outputs| have just become those of a newer window. */
bool anyecg_push(struct anyecg_pusher *pusher, int16_t sample);

/* Begins a new segment after a gap, a lead off or a change of gain. A window that is complete is still finished. */
void anyecg_push_gap(struct anyecg_pusher *pusher);

#ifdef __cplusplus
}
#endif

#endif
