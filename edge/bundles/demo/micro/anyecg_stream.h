/* SPDX-License-Identifier: MIT
 *
 * Front end stream/1 in integer arithmetic: counts of the converter in, 125 Hz out, and the model's int8 window.
 *
 * Samples are pushed one by one at 250 or 500 Hz; their unit and gain do not matter, because the window is a z-score.
 * The filters are those of edge/frontend/stream.py; the sums are exact, so nothing drifts, and no FPU is needed.
 * A gap, a lead off or a new session begins a new segment: anyecg_stream_reset().
 */
#ifndef ECG_FRONTEND_H
#define ECG_FRONTEND_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ANYECG_STREAM_HZ 125u
#define ANYECG_STREAM_WINDOW 1250u /* ten seconds */
#define ANYECG_STREAM_LOWPASS_MAX 97u
#define ANYECG_STREAM_BOXCAR 128u
#define ANYECG_STREAM_SPARE 8u /* samples that may come while a window is scaled in pieces */
#define ANYECG_STREAM_RING (ANYECG_STREAM_WINDOW + ANYECG_STREAM_SPARE)
#define ANYECG_STREAM_BITS_MIN 8u
#define ANYECG_STREAM_BITS_MAX 24u

struct anyecg_stream {
  int32_t input[ANYECG_STREAM_LOWPASS_MAX];
  int32_t low[2u * ANYECG_STREAM_BOXCAR];
  int32_t window[ANYECG_STREAM_RING];
  int64_t once, lagging, twice; /* running sums of the two boxcars; see push */
  const int32_t *taps;
  uint16_t lows;   /* low-pass outputs so far, up to two boxcars and then cyclic */
  uint16_t next;   /* position in the window */
  uint16_t filled; /* values in the window */
  uint8_t held;    /* samples in the input buffer */
  uint8_t half;    /* taps on each side of the low-pass's centre */
  uint8_t decimation;
  uint8_t bits; /* resolution of a sample */
};

/* grid_hz is 250 or 500, bits the converter's resolution, 8 to 24: larger samples are clipped, and the rest of 30 bits
 * holds fractions of a count. Returns false for any other value; the stream then does nothing. */
bool anyecg_stream_init(struct anyecg_stream *stream, unsigned grid_hz, unsigned bits);

/* Begins a new segment. */
void anyecg_stream_reset(struct anyecg_stream *stream);

/* Processes the next sample. Returns whether it completed a 125 Hz sample; the first comes after 2.2 s. */
bool anyecg_stream_push(struct anyecg_stream *stream, int32_t sample);

/* The newest sample of the 125 Hz stream, in 2**-(30 - bits) of a count. */
int32_t anyecg_stream_latest(const struct anyecg_stream *stream);

/* Writes the last ten seconds as the model's input: z-score, limited to +-8, step 1/16. Returns false if there are
 * fewer. out has ANYECG_STREAM_WINDOW values. All zeros for a window without variation. */
bool anyecg_stream_window(const struct anyecg_stream *stream, int8_t *out);

/* A window whose z-score is computed in pieces. */
struct anyecg_score {
  int64_t sum, top;
  uint64_t squares;
  int32_t sd;
  uint16_t first; /* position of its oldest value in the ring */
  uint16_t done;  /* values of this pass */
  int8_t right;
  uint8_t pass;
};

/* Begins the window that anyecg_stream_window() would write now. Returns false if there are fewer than ten seconds. */
bool anyecg_score_begin(struct anyecg_score *score, const struct anyecg_stream *stream);

/* Processes up to |values| of the ANYECG_SCORE_VALUES values. Returns whether there is more to do; out is complete when
 * not, and equals that of anyecg_stream_window(). Up to ANYECG_STREAM_SPARE 125 Hz samples may come in between. */
#define ANYECG_SCORE_VALUES (4u * ANYECG_STREAM_WINDOW)
bool anyecg_score_step(struct anyecg_score *score, const struct anyecg_stream *stream, unsigned values, int8_t *out);

#ifdef __cplusplus
}
#endif

#endif
