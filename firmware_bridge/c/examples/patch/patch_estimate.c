/* SPDX-License-Identifier: MIT */
#include "patch_estimate.h"

#include <string.h>

#include "anyecg_estimate.h"
#include "anyecg_gate.h"
#include "anyecg_hal.h"
#include "ecg_frontend.h"
#include "patch_model.h"

#define FS_HZ 250u
/* 0: estimates alone, to a host that knows them; the samples stay in the ring. */
#ifndef SEND_SAMPLES
#define SEND_SAMPLES 1
#endif
/* Steps of the network between two looks at the converter: under a millisecond at 64 MHz. */
#define STEPS_AT_ONCE 4u

static struct anyecg_stream stream;
static struct anyecg_gate gate;
static struct anyecg_estimator estimator;
static int8_t window[ANYECG_STREAM_WINDOW];

static uint32_t taken;        /* samples since the start */
static uint32_t next;         /* taken at which a window is tried */
static uint32_t said_at;      /* taken at the last report */
static uint32_t window_index; /* index of the patch at the end of the window */
static uint8_t said;          /* its reason */
static bool tried, running;

bool patch_estimate_init(struct anyecg_hello *hello, unsigned bits) {
  memcpy(hello->model_id, patch_model_identity(), sizeof(hello->model_id));
  next = FS_HZ;
  anyecg_gate_init(&gate, FS_HZ, bits);
  if (!anyecg_stream_init(&stream, FS_HZ, bits) || !patch_model_init(&estimator)) {
    return false;
  }
  hello->model_heads = estimator.count;
  hello->model_hop_s = (uint8_t)ESTIMATE_HOP_S;
  hello->model_silent = SEND_SAMPLES == 0;
  return true;
}

static void new_segment(uint8_t reason) {
  anyecg_stream_reset(&stream);
  anyecg_gate_reset(&gate, reason);
}

void patch_estimate_gap(void) { new_segment((uint8_t)ANYECG_GAP); }

void patch_estimate_sample(int32_t sample, uint8_t flags, uint32_t index) {
  taken++;
  if ((flags & ANYECG_LEAD_OFF) != 0u) {
    new_segment((uint8_t)ANYECG_LEAD_OFF_WINDOW);
  } else {
    anyecg_gate_sample(&gate, sample, flags);
    (void)anyecg_stream_push(&stream, sample);
  }
  if (!running && !tried && taken - next < 0x80000000u) {
    tried = true;
    window_index = index;
    next = taken + FS_HZ;
  }
}

/* A new reason is said at once, the same one again after the time between two estimates. */
static void abstain(struct anyecg_patch *patch, uint8_t reason) {
  if (reason != said || taken - said_at >= ESTIMATE_HOP_S * FS_HZ) {
    said = reason;
    said_at = taken;
    anyecg_patch_estimate(patch, window_index, reason, 0u, NULL, 0u);
  }
}

static void report(struct anyecg_patch *patch) {
  unsigned count;
  const int8_t *outputs = patch_model_outputs(&count);

  if (outputs != NULL) {
    const uint16_t held = anyecg_estimator_add(&estimator, outputs, taken / FS_HZ);
    said = (uint8_t)ANYECG_NO_REASON;
    anyecg_patch_estimate(patch, window_index, (uint8_t)ANYECG_NO_REASON, held, estimator.scores, estimator.count);
    anyecg_hal_outputs(outputs, count);
  }
}

bool patch_estimate_work(struct anyecg_patch *patch) {
  uint8_t reason;
  unsigned i;

  for (i = 0u; i < STEPS_AT_ONCE && running; i++) {
    running = patch_model_step();
    if (!running) {
      report(patch);
    }
  }
  if (running || !tried) {
    return running;
  }
  tried = false;
  reason = anyecg_gate_judge(&gate, anyecg_stream_window(&stream, window), window);
  if (reason != ANYECG_NO_REASON) {
    abstain(patch, reason);
    return false;
  }
  patch_model_begin(window);
  running = true;
  next = taken + ESTIMATE_HOP_S * FS_HZ;
  return true;
}
