/* SPDX-License-Identifier: MIT */
#include "anyecg_ring.h"

#include <string.h>

#define AT_INDEX 0u
#define AT_TICK 4u
#define AT_FLAGS 8u
#define AT_COUNT 9u
#define HALF 0x80000000u

static void put32(uint8_t *out, uint32_t value) {
  memcpy(out, &value, sizeof(value)); /* native byte order: it never leaves this machine */
}

static uint32_t get32(const uint8_t *in) {
  uint32_t value;
  memcpy(&value, in, sizeof(value));
  return value;
}

static uint8_t *slot(const struct anyecg_ring *ring, uint32_t age) {
  const uint32_t room = ring->frames - ring->oldest;
  const uint32_t place = age < room ? ring->oldest + age : age - room;
  return ring->memory + (size_t)place * ring->stride;
}

void anyecg_ring_init(struct anyecg_ring *ring, uint8_t *memory, size_t size, uint8_t samples, uint8_t format) {
  ring->memory = memory;
  ring->format = format;
  ring->stride = (uint16_t)(ANYECG_RING_HEAD_BYTES + (unsigned)samples * anyecg_sample_bytes(format));
  ring->frames = memory != NULL ? (uint32_t)(size / ring->stride) : 0u;
  anyecg_ring_clear(ring);
}

void anyecg_ring_clear(struct anyecg_ring *ring) {
  ring->oldest = ring->kept = 0u;
  anyecg_ring_stop(ring);
}

void anyecg_ring_stop(struct anyecg_ring *ring) { ring->next = ring->left = 0u; }

void anyecg_ring_put(struct anyecg_ring *ring, uint32_t tick, uint8_t flags, const struct anyecg_data *data) {
  const size_t bytes = (size_t)data->count * anyecg_sample_bytes(data->format);
  uint8_t *to;

  if (ring->frames == 0u || data->format != ring->format || bytes + ANYECG_RING_HEAD_BYTES > ring->stride) {
    return;
  }
  if (ring->kept < ring->frames) {
    ring->kept++;
  } else {
    ring->oldest = ring->oldest + 1u < ring->frames ? ring->oldest + 1u : 0u;
  }
  to = slot(ring, ring->kept - 1u);
  put32(to + AT_INDEX, data->index);
  put32(to + AT_TICK, tick);
  to[AT_FLAGS] = flags;
  to[AT_COUNT] = data->count;
  memcpy(to + ANYECG_RING_HEAD_BYTES, data->packed, bytes);
}

/* Age of the first frame that ends after an index; ring->kept if there is none. Frames are in order of their index. */
static uint32_t find(const struct anyecg_ring *ring, uint32_t index) {
  uint32_t low = 0u, high = ring->kept;

  while (low < high) {
    const uint32_t middle = low + (high - low) / 2u;
    const uint8_t *at = slot(ring, middle);
    const uint32_t end = get32(at + AT_INDEX) + at[AT_COUNT];
    if (end - index - 1u < HALF) {
      high = middle;
    } else {
      low = middle + 1u;
    }
  }
  return low;
}

struct anyecg_ack anyecg_ring_request(struct anyecg_ring *ring, const struct anyecg_range *range, uint32_t newest) {
  struct anyecg_ack ack = {(uint8_t)ANYECG_RESEND, (uint8_t)ANYECG_OK, 0u, false, 0u};
  const uint32_t ago = newest - range->index;
  uint32_t age, first;

  if (ring->frames == 0u) {
    ack.code = ANYECG_UNSUPPORTED;
    return ack;
  }
  if (range->count == 0u || ago >= HALF || range->count > ago) {
    ack.code = ANYECG_BAD_ARGUMENT;
    return ack;
  }
  age = find(ring, range->index);
  first = age < ring->kept ? get32(slot(ring, age) + AT_INDEX) : newest;
  ring->next = range->index;
  ring->left = range->count;
  if (first - range->index < HALF) {
    const uint32_t gone = first - range->index;
    ring->left = gone < range->count ? range->count - gone : 0u;
    ring->next += range->count - ring->left;
  }
  ack.has_index = true;
  ack.index = ring->next;
  return ack;
}

bool anyecg_ring_next(struct anyecg_ring *ring, struct anyecg_kept *kept) {
  const uint32_t end = ring->next + ring->left;
  uint32_t age;
  uint8_t *at;

  if (ring->left == 0u) {
    return false;
  }
  age = find(ring, ring->next);
  if (age == ring->kept) {
    ring->left = 0u;
    return false;
  }
  at = slot(ring, age);
  kept->data.index = get32(at + AT_INDEX);
  if (end - kept->data.index - 1u >= HALF) {
    ring->left = 0u; /* the rest of the request is no longer kept */
    return false;
  }
  kept->tick = get32(at + AT_TICK);
  kept->flags = at[AT_FLAGS];
  kept->data.boot = 0u;
  kept->data.format = ring->format;
  kept->data.count = at[AT_COUNT];
  kept->data.packed = at + ANYECG_RING_HEAD_BYTES;
  ring->next = kept->data.index + kept->data.count;
  ring->left = end - ring->next - 1u < HALF ? end - ring->next : 0u;
  return true;
}
