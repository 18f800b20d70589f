/* SPDX-License-Identifier: MIT
 *
 * The newest frames of samples, sent or not, so that a short disconnection loses nothing: the host requests
 * what it missed (RESEND) and gets it between the new frames. The caller provides the memory; nothing is allocated.
 */
#ifndef ANYECG_RING_H
#define ANYECG_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "anyecg_messages.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Header before the samples of a kept frame. */
#define ANYECG_RING_HEAD_BYTES 10u
/* Bytes of memory for a number of frames, samples per frame and bytes per sample. */
#define ANYECG_RING_BYTES(frames, samples, sample_bytes) \
  ((size_t)(frames) * (ANYECG_RING_HEAD_BYTES + (size_t)(samples) * (size_t)(sample_bytes)))

struct anyecg_ring {
  uint8_t *memory;
  uint32_t frames;  /* capacity in frames */
  uint32_t oldest;  /* slot of the oldest frame */
  uint32_t kept;    /* frames held */
  uint32_t next;    /* index of the next sample to resend */
  uint32_t left;    /* samples still to be resent */
  uint16_t stride;  /* bytes per frame */
  uint8_t format;
};

struct anyecg_kept {
  uint32_t tick;
  uint8_t flags;
  struct anyecg_data data; /* the caller sets boot */
};

/* Sets up a ring. size is ANYECG_RING_BYTES(); with less than one frame, or memory NULL, the ring keeps nothing. */
void anyecg_ring_init(struct anyecg_ring *ring, uint8_t *memory, size_t size, uint8_t samples, uint8_t format);

/* Forgets everything, as at a boot. */
void anyecg_ring_clear(struct anyecg_ring *ring);

/* Keeps a frame of at most the length given to init; drops the oldest frame if the ring is full. */
void anyecg_ring_put(struct anyecg_ring *ring, uint32_t tick, uint8_t flags, const struct anyecg_data *data);

/* Starts a request, where newest is the index of the next sample to be taken. It replaces an earlier request. */
struct anyecg_ack anyecg_ring_request(struct anyecg_ring *ring, const struct anyecg_range *range, uint32_t newest);

/* Returns the next frame to resend; false if there is none. Frames that are no longer kept are skipped.
 * kept->data.packed points into the ring until the next put. */
bool anyecg_ring_next(struct anyecg_ring *ring, struct anyecg_kept *kept);

/* Ends the request: the link is down, or the host sent STOP. */
void anyecg_ring_stop(struct anyecg_ring *ring);

#ifdef __cplusplus
}
#endif

#endif
