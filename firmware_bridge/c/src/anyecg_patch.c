/* SPDX-License-Identifier: MIT */
#include "anyecg_patch.h"

#include <string.h>

#define IDLE_HELLO_S 1u
#define STREAM_HELLO_S 10u
#define STATUS_S 60u
#define ACKS_MAX (sizeof(((struct anyecg_patch *)0)->acks) / sizeof(struct anyecg_ack))

bool anyecg_patch_init(struct anyecg_patch *p, const struct anyecg_patch_config *config) {
  const struct anyecg_header header = {(uint8_t)ANYECG_PROTOCOL, 0u, 0u, 0u, 0u};
  uint8_t body[ANYECG_BODY_MAX];

  memset(p, 0, sizeof(*p));
  if (config->frame_samples == 0u || config->frame_samples > anyecg_samples_max(config->format) ||
      config->hello.tick_hz == 0u || config->hello.fs_num == 0u || config->hello.fs_den == 0u) {
    return false;
  }
  p->hello = config->hello;
  p->hello.proto_min = (uint8_t)ANYECG_PROTOCOL;
  p->hello.proto_max = (uint8_t)(p->hello.model_heads != 0u ? ANYECG_WITH_ESTIMATES : ANYECG_PROTOCOL);
  p->format = config->format;
  p->frame_samples = config->frame_samples;
  p->percent = (uint8_t)ANYECG_PERCENT_UNKNOWN;
  anyecg_decoder_init(&p->decoder);
  anyecg_ring_init(&p->ring, config->ring_memory, config->ring_bytes, p->frame_samples, p->format);
  p->hello.ring_samples = p->ring.frames * p->frame_samples;
  anyecg_patch_link(p, true);
  return anyecg_write_hello(body, &header, &p->hello) > 0u; /* all texts together may be too long */
}

void anyecg_patch_link(struct anyecg_patch *p, bool up) {
  p->linked = up;
  p->streaming = false;
  p->ready_count = p->ack_count = p->burst = 0u;
  /* The delimiter closes anything left on the line. */
  p->say_delimiter = p->say_hello = up;
  p->say_status = p->estimating = p->say_estimate = false;
  anyecg_ring_stop(&p->ring);
  anyecg_decoder_reset(&p->decoder);
}

void anyecg_patch_battery(struct anyecg_patch *p, uint8_t percent, uint16_t millivolts) {
  p->percent = percent;
  p->percent_mv = millivolts;
}

static void answer(struct anyecg_patch *p, uint8_t command, uint8_t code) {
  const struct anyecg_ack ack = {command, code, 0u, false, 0u};

  if (p->ack_count < ACKS_MAX) {
    p->acks[p->ack_count++] = ack;
  }
}

static void start(struct anyecg_patch *p, uint8_t version) {
  if (version < p->hello.proto_min || version > p->hello.proto_max) {
    answer(p, ANYECG_START, ANYECG_BAD_VERSION);
    return;
  }
  p->estimating = version >= ANYECG_WITH_ESTIMATES;
  p->say_status = p->say_status || !p->streaming;
  p->streaming = p->sampling = true;
  answer(p, ANYECG_START, ANYECG_OK);
}

static void resend(struct anyecg_patch *p, const struct anyecg_range *range) {
  if (p->ring.frames > 0u && !p->streaming) {
    answer(p, ANYECG_RESEND, ANYECG_BUSY);
  } else if (p->ack_count < ACKS_MAX) {
    p->acks[p->ack_count++] = anyecg_ring_request(&p->ring, range, p->index);
  }
}

void anyecg_patch_receive(struct anyecg_patch *p, uint8_t byte) {
  struct anyecg_message message;

  if (anyecg_decoder_push(&p->decoder, byte) != ANYECG_BODY ||
      anyecg_read(p->decoder.buffer, p->decoder.size, &message) != ANYECG_MESSAGE) {
    return;
  }
  switch (message.header.type) {
    case ANYECG_HELLO_REQUEST:
      p->say_hello = true;
      break;
    case ANYECG_START:
      start(p, message.as.start_version);
      break;
    case ANYECG_STOP:
      p->streaming = p->say_estimate = false;
      anyecg_ring_stop(&p->ring);
      answer(p, ANYECG_STOP, ANYECG_OK);
      break;
    case ANYECG_RESEND:
      resend(p, &message.as.resend);
      break;
    default:
      break; /* a message of a patch: the line echoes */
  }
}

static void complete(struct anyecg_patch *p) {
  struct anyecg_data data;

  if (p->filling_count == 0u) {
    return;
  }
  data.index = p->index - p->filling_count;
  data.boot = 0u;
  data.format = p->format;
  data.count = p->filling_count;
  data.packed = p->filling;
  anyecg_ring_put(&p->ring, p->filling_tick, p->filling_flags, &data);
  if (p->streaming && !(p->estimating && p->hello.model_silent)) {
    p->dropped += p->ready_count > 0u ? 1u : 0u;
    memcpy(p->ready, p->filling, sizeof(p->ready));
    p->ready_count = p->filling_count;
    p->ready_flags = p->filling_flags;
    p->ready_tick = p->filling_tick;
    p->ready_index = data.index;
  }
  p->filling_count = p->filling_flags = 0u;
}

void anyecg_patch_sample(struct anyecg_patch *p, int32_t sample, uint32_t tick, uint8_t flags) {
  uint8_t *to = p->filling + (size_t)p->filling_count * anyecg_sample_bytes(p->format);

  if (!p->sampling) {
    return;
  }
  if (p->filling_count == 0u) {
    p->filling_tick = tick;
  }
  p->filling_flags |= (uint8_t)(flags & (ANYECG_LEAD_OFF | ANYECG_SATURATED));
  if (anyecg_pack_sample(to, p->format, sample)) {
    p->filling_flags |= (uint8_t)ANYECG_SATURATED;
  }
  p->index++;
  p->filling_count++;
  if (p->filling_count == p->frame_samples) {
    complete(p);
  }
}

void anyecg_patch_overrun(struct anyecg_patch *p, uint32_t samples) {
  if (p->sampling && samples > 0u) {
    complete(p);
    p->index += samples;
    p->filling_flags = (uint8_t)ANYECG_OVERRUN;
  }
}

void anyecg_patch_estimate(struct anyecg_patch *p, uint32_t index, uint8_t reason, uint16_t windows,
                           const struct anyecg_head_score *scores, uint8_t count) {
  p->reason = reason;
  p->windows = windows;
  p->scores = scores;
  p->score_count = (uint8_t)(reason == ANYECG_NO_REASON ? count : 0u);
  p->scores_sent = 0u;
  p->estimate_index = index;
  p->say_estimate = p->streaming && p->estimating;
}

static struct anyecg_header header_of(struct anyecg_patch *p, uint8_t flags, uint32_t tick) {
  const struct anyecg_header header = {(uint8_t)ANYECG_PROTOCOL, 0u, flags, p->seq, tick};
  return header;
}

static size_t write_hello(struct anyecg_patch *p, uint32_t tick, uint8_t *body) {
  const struct anyecg_header header = header_of(p, 0u, tick);

  p->say_hello = false;
  p->hello_tick = tick;
  p->hello.index = p->index;
  return anyecg_write_hello(body, &header, &p->hello);
}

static size_t write_ack(struct anyecg_patch *p, uint32_t tick, uint8_t *body) {
  const struct anyecg_header header = header_of(p, 0u, tick);
  const size_t size = anyecg_write_ack(body, &header, &p->acks[0]);

  p->ack_count--;
  memmove(&p->acks[0], &p->acks[1], p->ack_count * sizeof(p->acks[0]));
  return size;
}

static size_t write_status(struct anyecg_patch *p, uint32_t tick, uint8_t *body) {
  const struct anyecg_header header = header_of(p, 0u, tick);
  const struct anyecg_status status = {p->percent, p->percent_mv, p->dropped, p->index};

  p->say_status = false;
  p->status_tick = tick;
  return anyecg_write_status(body, &header, &status);
}

/* As many outputs as fit; the rest follows in another message. */
static size_t write_estimate(struct anyecg_patch *p, uint32_t tick, uint8_t *body) {
  const struct anyecg_header header = header_of(p, 0u, tick);
  const uint8_t left = (uint8_t)(p->score_count - p->scores_sent);
  uint8_t packed[ANYECG_SCORES_MAX * ANYECG_SCORE_BYTES];
  struct anyecg_estimate estimate;
  uint8_t i;

  estimate.index = p->estimate_index;
  estimate.boot = (uint8_t)(p->hello.boot_id & 0xFFu);
  estimate.reason = p->reason;
  estimate.windows = p->windows;
  estimate.first = p->scores_sent;
  estimate.count = (uint8_t)(left < ANYECG_SCORES_MAX ? left : ANYECG_SCORES_MAX);
  estimate.packed = packed;
  for (i = 0u; i < estimate.count; i++) {
    anyecg_pack_score(packed + (size_t)i * ANYECG_SCORE_BYTES, &p->scores[p->scores_sent + i]);
  }
  p->scores_sent = (uint8_t)(p->scores_sent + estimate.count);
  p->say_estimate = p->scores_sent < p->score_count;
  return anyecg_write_estimate(body, &header, &estimate);
}

static size_t write_new(struct anyecg_patch *p, uint8_t *body) {
  const struct anyecg_header header = header_of(p, p->ready_flags, p->ready_tick);
  const struct anyecg_data data = {p->ready_index, (uint8_t)(p->hello.boot_id & 0xFFu), p->format, p->ready_count,
                                   p->ready};

  p->ready_count = 0u;
  p->burst = (uint8_t)ANYECG_RESEND_BURST;
  return anyecg_write_data(body, &header, &data);
}

static size_t write_again(struct anyecg_patch *p, uint8_t *body) {
  struct anyecg_header header;
  struct anyecg_kept kept;

  if (p->burst == 0u || !anyecg_ring_next(&p->ring, &kept)) {
    return 0u;
  }
  p->burst--;
  kept.data.boot = (uint8_t)(p->hello.boot_id & 0xFFu);
  header = header_of(p, (uint8_t)(kept.flags | ANYECG_RESENT), kept.tick);
  return anyecg_write_data(body, &header, &kept.data);
}

static bool due(const struct anyecg_patch *p, uint32_t since, uint32_t tick, uint32_t seconds) {
  return tick - since >= seconds * p->hello.tick_hz;
}

size_t anyecg_patch_poll(struct anyecg_patch *p, uint32_t tick, uint8_t *out) {
  uint8_t body[ANYECG_BODY_MAX];
  size_t size;

  if (!p->linked) {
    return 0u;
  }
  if (p->say_delimiter) {
    p->say_delimiter = false;
    out[0] = 0u;
    return 1u;
  }
  if (due(p, p->hello_tick, tick, p->streaming ? STREAM_HELLO_S : IDLE_HELLO_S)) {
    p->say_hello = true;
  }
  if (p->streaming && due(p, p->status_tick, tick, STATUS_S)) {
    p->say_status = true;
  }
  if (p->say_hello) {
    size = write_hello(p, tick, body);
  } else if (p->ack_count > 0u) {
    size = write_ack(p, tick, body);
  } else if (p->streaming && p->ready_count > 0u) {
    size = write_new(p, body);
  } else if (p->say_estimate) {
    size = write_estimate(p, tick, body);
  } else if (p->streaming && p->say_status) {
    size = write_status(p, tick, body);
  } else {
    size = p->streaming ? write_again(p, body) : 0u;
  }
  if (size == 0u) {
    return 0u;
  }
  p->seq++;
  return anyecg_frame_encode(body, size, out);
}
