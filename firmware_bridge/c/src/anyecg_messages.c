/* SPDX-License-Identifier: MIT */
#include "anyecg_messages.h"

#include <string.h>

#define HELLO_HEAD_BYTES 40u
#define STATUS_BYTES 12u
#define ACK_BYTES 4u
#define RANGE_BYTES 8u
#define RING_BYTES 4u
#define MODEL_BYTES (ANYECG_IDENTITY_BYTES + 3u)

static uint8_t *put16(uint8_t *out, uint16_t value) {
  out[0] = (uint8_t)(value & 0xFFu);
  out[1] = (uint8_t)(value >> 8);
  return out + 2;
}

static uint8_t *put32(uint8_t *out, uint32_t value) {
  return put16(put16(out, (uint16_t)(value & 0xFFFFu)), (uint16_t)(value >> 16));
}

static uint16_t get16(const uint8_t *in) { return (uint16_t)(in[0] | (unsigned)in[1] << 8); }

static uint32_t get32(const uint8_t *in) { return get16(in) | (uint32_t)get16(in + 2) << 16; }

static uint8_t *put_header(uint8_t *out, const struct anyecg_header *header, uint8_t type) {
  out[0] = header->version;
  out[1] = type;
  out[2] = header->flags;
  return put32(put16(out + 3, header->seq), header->tick);
}

static uint8_t *put_host_header(uint8_t *out, uint8_t type) {
  static const struct anyecg_header header = {(uint8_t)ANYECG_PROTOCOL, 0u, 0u, 0u, 0u};
  return put_header(out, &header, type);
}

uint8_t anyecg_sample_bytes(uint8_t format) {
  return (uint8_t)(format == ANYECG_INT16 ? 2u : (format == ANYECG_INT24 ? 3u : 0u));
}

uint8_t anyecg_samples_max(uint8_t format) {
  const uint8_t width = anyecg_sample_bytes(format);
  return (uint8_t)(width != 0u ? ANYECG_SAMPLE_BYTES_MAX / width : 0u);
}

bool anyecg_pack_sample(uint8_t *out, uint8_t format, int32_t sample) {
  const int32_t top = format == ANYECG_INT16 ? 0x7FFF : 0x7FFFFF;
  const int32_t fits = sample > top ? top : (sample < -top - 1 ? -top - 1 : sample);
  const uint32_t bits = (uint32_t)fits;

  put16(out, (uint16_t)(bits & 0xFFFFu));
  if (format != ANYECG_INT16) {
    out[2] = (uint8_t)((bits >> 16) & 0xFFu);
  }
  return fits != sample;
}

int32_t anyecg_unpack_sample(const uint8_t *in, uint8_t format) {
  const int32_t half = format == ANYECG_INT16 ? 0x8000 : 0x800000;
  const uint32_t low = get16(in);
  const int32_t bits = (int32_t)(format == ANYECG_INT16 ? low : low | (uint32_t)in[2] << 16);
  return bits >= half ? bits - 2 * half : bits;
}

size_t anyecg_write_hello(uint8_t *out, const struct anyecg_header *header, const struct anyecg_hello *hello) {
  const uint32_t words[9] = {hello->boot_id, hello->tick_hz,      hello->fs_num,        hello->fs_den, hello->nv_num,
                             hello->nv_den,  hello->band_low_mhz, hello->band_high_mhz, hello->index};
  size_t size = ANYECG_HEADER_BYTES + HELLO_HEAD_BYTES;
  uint8_t *at;
  unsigned i;

  for (i = 0u; i < ANYECG_TEXTS; i++) {
    const uint8_t length = hello->texts[i].size;
    size += length > 0u ? 2u + (length < ANYECG_TEXT_MAX ? length : ANYECG_TEXT_MAX) : 0u;
  }
  size += hello->ring_samples != 0u ? 2u + RING_BYTES : 0u;
  size += hello->model_heads != 0u ? 2u + MODEL_BYTES : 0u;
  if (size > ANYECG_BODY_MAX) {
    return 0u;
  }
  at = put_header(out, header, ANYECG_HELLO);
  for (i = 0u; i < 9u; i++) {
    at = put32(at, words[i]);
  }
  *at++ = hello->bits;
  *at++ = hello->proto_min;
  *at++ = hello->proto_max;
  *at++ = 0u;
  for (i = 0u; i < ANYECG_TEXTS; i++) {
    const uint8_t length = (uint8_t)(hello->texts[i].size < ANYECG_TEXT_MAX ? hello->texts[i].size : ANYECG_TEXT_MAX);
    if (length > 0u) {
      *at++ = (uint8_t)(i + 1u);
      *at++ = length;
      memcpy(at, hello->texts[i].bytes, length);
      at += length;
    }
  }
  if (hello->ring_samples != 0u) {
    *at++ = ANYECG_TAG_RING;
    *at++ = RING_BYTES;
    at = put32(at, hello->ring_samples);
  }
  if (hello->model_heads != 0u) {
    *at++ = ANYECG_TAG_MODEL;
    *at++ = MODEL_BYTES;
    memcpy(at, hello->model_id, ANYECG_IDENTITY_BYTES);
    at += ANYECG_IDENTITY_BYTES;
    *at++ = hello->model_heads;
    *at++ = hello->model_hop_s;
    *at = hello->model_silent ? 1u : 0u;
  }
  return size;
}

size_t anyecg_write_data(uint8_t *out, const struct anyecg_header *header, const struct anyecg_data *data) {
  const size_t bytes = (size_t)data->count * anyecg_sample_bytes(data->format);
  uint8_t *at;

  if (bytes == 0u || bytes > ANYECG_SAMPLE_BYTES_MAX) {
    return 0u;
  }
  at = put32(put_header(out, header, ANYECG_DATA), data->index);
  *at++ = data->boot;
  *at++ = data->format;
  *at++ = data->count;
  memcpy(at, data->packed, bytes);
  return ANYECG_HEADER_BYTES + ANYECG_DATA_HEAD_BYTES + bytes;
}

size_t anyecg_write_status(uint8_t *out, const struct anyecg_header *header, const struct anyecg_status *status) {
  uint8_t *at = put_header(out, header, ANYECG_STATUS);

  *at++ = status->percent;
  *at++ = 0u;
  put32(put32(put16(at, status->millivolts), status->dropped), status->index);
  return ANYECG_HEADER_BYTES + STATUS_BYTES;
}

size_t anyecg_write_ack(uint8_t *out, const struct anyecg_header *header, const struct anyecg_ack *ack) {
  uint8_t *at = put_header(out, header, ANYECG_ACK);

  *at++ = ack->command;
  *at++ = ack->code;
  at = put16(at, ack->detail);
  if (!ack->has_index) {
    return ANYECG_HEADER_BYTES + ACK_BYTES;
  }
  put32(at, ack->index);
  return ANYECG_HEADER_BYTES + ACK_BYTES + RING_BYTES;
}

void anyecg_pack_score(uint8_t *out, const struct anyecg_head_score *score) {
  *put32(out, (uint32_t)score->score) = score->state;
}

struct anyecg_head_score anyecg_unpack_score(const uint8_t *in) {
  const uint32_t bits = get32(in);
  struct anyecg_head_score out;

  out.score = bits <= 0x7FFFFFFFu ? (int32_t)bits : -(int32_t)(0xFFFFFFFFu - bits) - 1;
  out.state = in[4];
  return out;
}

size_t anyecg_write_estimate(uint8_t *out, const struct anyecg_header *header, const struct anyecg_estimate *estimate) {
  const size_t bytes = (size_t)estimate->count * ANYECG_SCORE_BYTES;
  uint8_t *at;

  if (estimate->count > ANYECG_SCORES_MAX || (estimate->count != 0u && estimate->reason != ANYECG_NO_REASON)) {
    return 0u;
  }
  at = put32(put_header(out, header, ANYECG_ESTIMATE), estimate->index);
  *at++ = estimate->boot;
  *at++ = estimate->reason;
  *at++ = 0u;
  at = put16(at, estimate->windows);
  *at++ = estimate->first;
  *at++ = estimate->count;
  if (bytes > 0u) {
    memcpy(at, estimate->packed, bytes);
  }
  return ANYECG_HEADER_BYTES + ANYECG_ESTIMATE_HEAD_BYTES + bytes;
}

size_t anyecg_write_hello_request(uint8_t *out, uint8_t lowest, uint8_t highest) {
  uint8_t *at = put_host_header(out, ANYECG_HELLO_REQUEST);

  at[0] = lowest;
  at[1] = highest;
  return ANYECG_HEADER_BYTES + 2u;
}

size_t anyecg_write_start(uint8_t *out, uint8_t version) {
  *put_host_header(out, ANYECG_START) = version;
  return ANYECG_HEADER_BYTES + 1u;
}

size_t anyecg_write_stop(uint8_t *out) {
  put_host_header(out, ANYECG_STOP);
  return ANYECG_HEADER_BYTES;
}

size_t anyecg_write_resend(uint8_t *out, uint32_t index, uint32_t count) {
  put32(put32(put_host_header(out, ANYECG_RESEND), index), count);
  return ANYECG_HEADER_BYTES + RANGE_BYTES;
}

static bool read_tail(const uint8_t *tail, size_t size, struct anyecg_hello *hello) {
  size_t at = 0u;

  while (at < size) {
    uint8_t tag, length;
    if (size - at < 2u || size - at - 2u < tail[at + 1u]) {
      return false;
    }
    tag = tail[at];
    length = tail[at + 1u];
    at += 2u;
    if (tag == ANYECG_TAG_RING && length == RING_BYTES) {
      hello->ring_samples = get32(tail + at);
    } else if (tag == ANYECG_TAG_MODEL && length == MODEL_BYTES) {
      memcpy(hello->model_id, tail + at, ANYECG_IDENTITY_BYTES);
      hello->model_heads = tail[at + ANYECG_IDENTITY_BYTES];
      hello->model_hop_s = tail[at + ANYECG_IDENTITY_BYTES + 1u];
      hello->model_silent = (tail[at + ANYECG_IDENTITY_BYTES + 2u] & 1u) != 0u;
    } else if (tag >= ANYECG_KIND && tag <= ANYECG_LEAD) {
      /* A string is a sequence of bytes, signed or not. */
      hello->texts[tag - 1u].bytes = (const char *)(tail + at);
      hello->texts[tag - 1u].size = (uint8_t)(length < ANYECG_TEXT_MAX ? length : ANYECG_TEXT_MAX);
    }
    at += length;
  }
  return true;
}

static bool read_hello(const uint8_t *in, size_t size, struct anyecg_hello *hello) {
  if (size < HELLO_HEAD_BYTES) {
    return false;
  }
  memset(hello, 0, sizeof(*hello));
  hello->boot_id = get32(in);
  hello->tick_hz = get32(in + 4);
  hello->fs_num = get32(in + 8);
  hello->fs_den = get32(in + 12);
  hello->nv_num = get32(in + 16);
  hello->nv_den = get32(in + 20);
  hello->band_low_mhz = get32(in + 24);
  hello->band_high_mhz = get32(in + 28);
  hello->index = get32(in + 32);
  hello->bits = in[36];
  hello->proto_min = in[37];
  hello->proto_max = in[38];
  /* Accepts a sampling rate of 0.1 Hz to 1 MHz, in integer arithmetic. */
  return read_tail(in + HELLO_HEAD_BYTES, size - HELLO_HEAD_BYTES, hello) && hello->tick_hz != 0u &&
         hello->fs_num != 0u && hello->fs_den != 0u && (uint64_t)hello->fs_num * 10u >= hello->fs_den &&
         hello->fs_num <= (uint64_t)hello->fs_den * 1000000u;
}

static bool read_data(const uint8_t *in, size_t size, struct anyecg_data *data) {
  if (size < ANYECG_DATA_HEAD_BYTES) {
    return false;
  }
  data->index = get32(in);
  data->boot = in[4];
  data->format = in[5];
  data->count = in[6];
  data->packed = in + ANYECG_DATA_HEAD_BYTES;
  return anyecg_sample_bytes(data->format) != 0u && data->count != 0u &&
         size - ANYECG_DATA_HEAD_BYTES == (size_t)data->count * anyecg_sample_bytes(data->format);
}

static bool read_status(const uint8_t *in, size_t size, struct anyecg_status *status) {
  if (size < STATUS_BYTES) {
    return false;
  }
  status->percent = (uint8_t)(in[0] <= 100u ? in[0] : ANYECG_PERCENT_UNKNOWN);
  status->millivolts = get16(in + 2);
  status->dropped = get32(in + 4);
  status->index = get32(in + 8);
  return true;
}

static bool read_ack(const uint8_t *in, size_t size, struct anyecg_ack *ack) {
  if (size < ACK_BYTES) {
    return false;
  }
  ack->command = in[0];
  ack->code = in[1];
  ack->detail = get16(in + 2);
  ack->has_index = ack->command == ANYECG_RESEND && size >= ACK_BYTES + RING_BYTES;
  ack->index = ack->has_index ? get32(in + ACK_BYTES) : 0u;
  return true;
}

static bool read_estimate(const uint8_t *in, size_t size, struct anyecg_estimate *estimate) {
  if (size < ANYECG_ESTIMATE_HEAD_BYTES) {
    return false;
  }
  estimate->index = get32(in);
  estimate->boot = in[4];
  estimate->reason = in[5];
  estimate->windows = get16(in + 7);
  estimate->first = in[9];
  estimate->count = in[10];
  estimate->packed = in + ANYECG_ESTIMATE_HEAD_BYTES;
  return estimate->reason <= ANYECG_LEAD_OFF_WINDOW &&
         size - ANYECG_ESTIMATE_HEAD_BYTES >= (size_t)estimate->count * ANYECG_SCORE_BYTES &&
         (estimate->count == 0u || estimate->reason == ANYECG_NO_REASON);
}

static bool read_command(uint8_t type, const uint8_t *in, size_t size, struct anyecg_message *message) {
  if (type == ANYECG_STOP) {
    return true;
  }
  if (type == ANYECG_START) {
    message->as.start_version = (uint8_t)(size >= 1u ? in[0] : 0u);
    return size >= 1u;
  }
  if (type == ANYECG_HELLO_REQUEST) {
    if (size < 2u) {
      return false;
    }
    message->as.hello_request.lowest = in[0];
    message->as.hello_request.highest = in[1];
    return true;
  }
  if (size < RANGE_BYTES) {
    return false;
  }
  message->as.resend.index = get32(in);
  message->as.resend.count = get32(in + 4);
  return true;
}

enum anyecg_verdict anyecg_read(const uint8_t *body, size_t size, struct anyecg_message *message) {
  const uint8_t *payload;
  bool sound;

  /* Version 0 never existed: a run of zero bytes has a valid CRC and must not look like a version. */
  if (size == 0u || body[0] == 0u) {
    return ANYECG_MALFORMED;
  }
  message->header.version = body[0];
  if (body[0] != ANYECG_PROTOCOL) {
    return ANYECG_WRONG_VERSION;
  }
  if (size < ANYECG_HEADER_BYTES) {
    return ANYECG_MALFORMED;
  }
  message->header.type = body[1];
  message->header.flags = body[2];
  message->header.seq = get16(body + 3);
  message->header.tick = get32(body + 5);
  payload = body + ANYECG_HEADER_BYTES;
  size -= ANYECG_HEADER_BYTES;
  switch (message->header.type) {
    case ANYECG_HELLO:
      sound = read_hello(payload, size, &message->as.hello);
      break;
    case ANYECG_DATA:
      sound = read_data(payload, size, &message->as.data);
      break;
    case ANYECG_STATUS:
      sound = read_status(payload, size, &message->as.status);
      break;
    case ANYECG_ACK:
      sound = read_ack(payload, size, &message->as.ack);
      break;
    case ANYECG_ESTIMATE:
      sound = read_estimate(payload, size, &message->as.estimate);
      break;
    case ANYECG_HELLO_REQUEST:
    case ANYECG_START:
    case ANYECG_STOP:
    case ANYECG_RESEND:
      sound = read_command(message->header.type, payload, size, message);
      break;
    default:
      return ANYECG_UNKNOWN_TYPE;
  }
  return sound ? ANYECG_MESSAGE : ANYECG_MALFORMED;
}
