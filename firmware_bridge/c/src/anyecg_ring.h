/* SPDX-License-Identifier: MIT
 *
 * The newest frames of samples, sent or not, so that a short disconnection loses nothing: the host asks for what it
 * missed (RESEND) and gets it between the new frames. Memory is the caller's; nothing is allocated.
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

/* What stands before the samples of a kept frame. */
#define ANYECG_RING_HEAD_BYTES 10u
/* Bytes of memory for so many frames of so many samples of so many bytes each. */
#define ANYECG_RING_BYTES(frames, samples, sample_bytes) \
  ((size_t)(frames) * (ANYECG_RING_HEAD_BYTES + (size_t)(samples) * (size_t)(sample_bytes)))

struct anyecg_ring {
  uint8_t *memory;
  uint32_t frames;  /* that it can hold */
  uint32_t oldest;  /* place of the oldest */
  uint32_t kept;    /* that it holds */
  uint32_t next;    /* index of the next sample to send again */
  uint32_t left;    /* samples that are still to be sent again */
  uint16_t stride;  /* bytes a frame */
  uint8_t format;
};

struct anyecg_kept {
  uint32_t tick;
  uint8_t flags;
  struct anyecg_data data; /* boot is the caller's */
};

/* size is ANYECG_RING_BYTES(); less than one frame, or memory NULL, makes a ring that keeps nothing. */
void anyecg_ring_init(struct anyecg_ring *ring, uint8_t *memory, size_t size, uint8_t samples, uint8_t format);

/* Forgets everything, as at a boot. */
void anyecg_ring_clear(struct anyecg_ring *ring);

/* Keeps a frame of the length that init was told, or shorter; the oldest goes. */
void anyecg_ring_put(struct anyecg_ring *ring, uint32_t tick, uint8_t flags, const struct anyecg_data *data);

/* Takes a request, where newest is the index of the next sample to be taken. It takes the place of an earlier one. */
struct anyecg_ack anyecg_ring_request(struct anyecg_ring *ring, const struct anyecg_range *range, uint32_t newest);

/* The next frame to send again; false where nothing is to be. What has gone meanwhile is passed over.
 * kept->data.packed points into the ring until the next put. */
bool anyecg_ring_next(struct anyecg_ring *ring, struct anyecg_kept *kept);

/* Sends no more: the link is gone, or the host said STOP. */
void anyecg_ring_stop(struct anyecg_ring *ring);

#ifdef __cplusplus
}
#endif

#endif
