/* SPDX-License-Identifier: MIT
 *
 * The patch's side of the protocol, without any IO: samples and the host's bytes in, frames out.
 *
 *   anyecg_patch_init()      once, with the patch's properties
 *   anyecg_patch_receive()   every byte from the host
 *   anyecg_patch_sample()    every sample; ignored until the host sent START, then taken whether or not the link is up
 *   anyecg_patch_estimate()  if the patch runs a model: its results, for a host that asked for them
 *   anyecg_patch_poll()      returns the next frame to send, until there is none
 *   anyecg_patch_link()      if the hardware knows it: the link is down or up (DTR of a USB port, Bluetooth)
 *
 * Call all of them from one context; pass samples taken in an interrupt through the converter's or driver's queue.
 */
#ifndef ANYECG_PATCH_H
#define ANYECG_PATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "anyecg_frame.h"
#include "anyecg_messages.h"
#include "anyecg_ring.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Frames resent per new frame. */
#define ANYECG_RESEND_BURST 4u

struct anyecg_patch_config {
  struct anyecg_hello hello; /* boot_id random at each boot; index, proto_* and ring_samples are filled in;
                                 model_* only for a patch that estimates */
  uint8_t frame_samples;     /* samples in DATA, about 0.1 s; at most anyecg_samples_max(format) */
  uint8_t format;            /* enum anyecg_format */
  uint8_t *ring_memory;      /* NULL for none */
  size_t ring_bytes;         /* ANYECG_RING_BYTES(frames, frame_samples, anyecg_sample_bytes(format)) */
};

struct anyecg_patch {
  struct anyecg_hello hello;
  struct anyecg_ring ring;
  struct anyecg_decoder decoder;
  uint8_t filling[ANYECG_SAMPLE_BYTES_MAX]; /* the frame being filled */
  uint8_t ready[ANYECG_SAMPLE_BYTES_MAX];   /* the frame waiting to be sent */
  uint32_t index;                           /* index of the next sample */
  uint32_t filling_tick, ready_index, ready_tick, hello_tick, status_tick;
  uint32_t dropped; /* frames that could not be sent in time; the ring still has them */
  uint16_t seq;
  uint16_t percent_mv; /* battery, for STATUS */
  uint8_t percent;
  uint8_t format, frame_samples;
  uint8_t filling_count, filling_flags, ready_count, ready_flags;
  uint8_t burst; /* frames that may still be resent before the next new one */
  uint8_t ack_count;
  struct anyecg_ack acks[4];
  const struct anyecg_head_score *scores; /* of the estimate being sent */
  uint32_t estimate_index;
  uint16_t windows;
  uint8_t score_count, scores_sent, reason;
  bool linked, streaming, sampling;
  bool estimating, say_estimate; /* the host asked for ESTIMATE; one waits */
  bool say_hello, say_status, say_delimiter;
};

/* Returns false if the configuration is not valid; the patch then does nothing. */
bool anyecg_patch_init(struct anyecg_patch *patch, const struct anyecg_patch_config *config);

void anyecg_patch_receive(struct anyecg_patch *patch, uint8_t byte);

/* Adds a sample with its tick. flags: ANYECG_LEAD_OFF, ANYECG_SATURATED; they apply to its frame. */
void anyecg_patch_sample(struct anyecg_patch *patch, int32_t sample, uint32_t tick, uint8_t flags);

/* Reports samples that the converter lost just now: they count as missing. */
void anyecg_patch_overrun(struct anyecg_patch *patch, uint32_t samples);

/* Reports an estimate, or the reason for making none (enum anyecg_reason, count 0). It is sent if the host asked for
 * estimates. index is patch->index when the window was complete. scores must stay valid until the next call; an
 * estimate not yet sent is replaced. */
void anyecg_patch_estimate(struct anyecg_patch *patch, uint32_t index, uint8_t reason, uint16_t windows,
                           const struct anyecg_head_score *scores, uint8_t count);

/* Writes the next frame to send, delimiter included. Returns its size; 0 if there is none now.
 * out has ANYECG_WIRE_MAX bytes. */
size_t anyecg_patch_poll(struct anyecg_patch *patch, uint32_t tick, uint8_t *out);

/* Reports the link's state. Without a link the patch keeps sampling and sends nothing; a new link waits for START. */
void anyecg_patch_link(struct anyecg_patch *patch, bool up);

/* Sets the battery level for STATUS: percent (ANYECG_PERCENT_UNKNOWN) and millivolts. */
void anyecg_patch_battery(struct anyecg_patch *patch, uint8_t percent, uint16_t millivolts);

#ifdef __cplusplus
}
#endif

#endif
