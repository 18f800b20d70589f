#include "anyecg_push.h"

enum { IDLE, WINDOW, NETWORK };

/* Values of the window's z-score for each sample: done within the ANYECG_STREAM_SPARE 125 Hz samples that may come. */
#define VALUES_AT_ONCE (ANYECG_SCORE_VALUES / (2u * ANYECG_STREAM_SPARE) + 1u)
#define WINDOW_SAMPLES (2u * ANYECG_STREAM_SPARE)

bool anyecg_push_init(struct anyecg_pusher *pusher, unsigned grid_hz, unsigned bits, unsigned hop) {
  unsigned spread, samples;

  if (hop < ANYECG_HOP_MIN || hop > ANYECG_HOP_MAX || bits > 16u || !anyecg_stream_init(&pusher->stream, grid_hz, bits)) {
    return false;
  }
  /* Not longer than a new segment takes to its first window. */
  spread = hop < ANYECG_STREAM_WINDOW ? hop : ANYECG_STREAM_WINDOW;
  samples = spread * pusher->stream.decimation - WINDOW_SAMPLES - 1u;
  pusher->hop = (uint16_t)hop;
  pusher->until = 1u;
  pusher->share = (int32_t)((ANYECG_WORK + samples - 1u) / samples);
  pusher->stage = IDLE;
  return true;
}

/* Does the part of the work that belongs to one sample. Returns whether the outputs are complete. */
static bool work(struct anyecg_pusher *pusher) {
  if (pusher->stage == WINDOW) {
    if (!anyecg_score_step(&pusher->score, &pusher->stream, VALUES_AT_ONCE, pusher->window)) {
      anyecg_network_begin(&pusher->network, pusher->window, pusher->outputs);
      pusher->due = 0;
      pusher->stage = NETWORK;
    }
  } else if (pusher->stage == NETWORK) {
    pusher->due += pusher->share;
    while (pusher->due > 0) {
      if (!anyecg_network_step(&pusher->network)) {
        pusher->stage = IDLE;
        return true;
      }
      pusher->due -= (int32_t)pusher->network.work;
    }
  }
  return false;
}

bool anyecg_push(struct anyecg_pusher *pusher, int16_t sample) {
  if (anyecg_stream_push(&pusher->stream, sample) && pusher->stream.filled == ANYECG_STREAM_WINDOW) {
    pusher->until--;
    if (pusher->until == 0u) {
      pusher->until = pusher->hop;
      (void)anyecg_score_begin(&pusher->score, &pusher->stream);
      pusher->stage = WINDOW;
    }
  }
  return work(pusher);
}

void anyecg_push_gap(struct anyecg_pusher *pusher) {
  while (pusher->stage == WINDOW) {
    (void)work(pusher);
  }
  anyecg_stream_reset(&pusher->stream);
  pusher->until = 1u;
}
