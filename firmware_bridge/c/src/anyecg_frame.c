/* SPDX-License-Identifier: MIT */
#include "anyecg_frame.h"

#include <string.h>

#define DELIMITER 0x00u

static uint16_t crc_byte(uint16_t crc, uint8_t byte) {
  /* One nibble per step: a table of 32 bytes, twice as fast as single bits. */
  static const uint16_t table[16] = {0x0000u, 0x1021u, 0x2042u, 0x3063u, 0x4084u, 0x50A5u, 0x60C6u, 0x70E7u,
                                     0x8108u, 0x9129u, 0xA14Au, 0xB16Bu, 0xC18Cu, 0xD1ADu, 0xE1CEu, 0xF1EFu};
  crc = (uint16_t)((uint16_t)(crc << 4) ^ table[((unsigned)crc >> 12) ^ ((unsigned)byte >> 4)]);
  return (uint16_t)((uint16_t)(crc << 4) ^ table[((unsigned)crc >> 12) ^ (byte & 0x0Fu)]);
}

uint16_t anyecg_crc16(const uint8_t *data, size_t size) {
  uint16_t crc = 0u;
  size_t i;

  for (i = 0u; i < size; i++) {
    crc = crc_byte(crc, data[i]);
  }
  return crc;
}

size_t anyecg_frame_encode(const uint8_t *body, size_t size, uint8_t *out) {
  uint8_t crc[ANYECG_CRC_BYTES];
  uint16_t sum;
  size_t i, at = 1u, code_at = 0u;

  if (size == 0u || size > ANYECG_BODY_MAX) {
    return 0u;
  }
  sum = anyecg_crc16(body, size);
  crc[0] = (uint8_t)(sum >> 8);
  crc[1] = (uint8_t)(sum & 0xFFu);
  for (i = 0u; i < size + ANYECG_CRC_BYTES; i++) {
    const uint8_t byte = i < size ? body[i] : crc[i - size];
    if (byte == 0u) {
      out[code_at] = (uint8_t)(at - code_at);
      code_at = at;
    } else {
      out[at] = byte;
    }
    at++;
  }
  out[code_at] = (uint8_t)(at - code_at);
  out[at++] = DELIMITER;
  return at;
}

void anyecg_decoder_init(struct anyecg_decoder *decoder) { memset(decoder, 0, sizeof(*decoder)); }

static enum anyecg_event thrown_away(struct anyecg_decoder *d, enum anyecg_event why, uint16_t size) {
  d->errors++;
  d->error_bytes += size;
  d->size = size;
  return why;
}

/* Decodes in place: the output is never longer than the input. Returns false if a code points past the end. */
static bool uncobs(struct anyecg_decoder *d, uint16_t coded) {
  uint16_t from = 0u, to = 0u;

  while (from < coded) {
    const uint8_t code = d->buffer[from];
    if ((unsigned)from + code > coded) {
      return false;
    }
    memmove(&d->buffer[to], &d->buffer[from + 1u], (size_t)code - 1u);
    to = (uint16_t)(to + code - 1u);
    from = (uint16_t)(from + code);
    if (from < coded) {
      d->buffer[to++] = 0u;
    }
  }
  d->size = to;
  return true;
}

static enum anyecg_event check(struct anyecg_decoder *d) {
  const uint16_t coded = d->held;

  d->held = 0u;
  if (coded == 0u) {
    return ANYECG_NOTHING;
  }
  if (!uncobs(d, coded)) {
    return thrown_away(d, ANYECG_BAD_COBS, coded);
  }
  if (d->size <= ANYECG_CRC_BYTES) {
    return thrown_away(d, ANYECG_SHORT, coded);
  }
  if (anyecg_crc16(d->buffer, d->size) != 0u) {
    return thrown_away(d, ANYECG_BAD_CRC, coded);
  }
  d->size = (uint16_t)(d->size - ANYECG_CRC_BYTES);
  d->frames++;
  d->synced = true;
  return ANYECG_BODY;
}

static enum anyecg_event close_long(struct anyecg_decoder *d) {
  const uint16_t size = d->skipped;

  d->skipping = false;
  d->skipped = 0u;
  return size > 0u ? thrown_away(d, ANYECG_TOO_LONG, size) : ANYECG_NOTHING;
}

enum anyecg_event anyecg_decoder_push(struct anyecg_decoder *d, uint8_t byte) {
  if (byte == DELIMITER) {
    return d->skipping ? close_long(d) : check(d);
  }
  if (d->skipping) {
    d->skipped++;
    if (d->skipped < ANYECG_SKIP_REPORT_BYTES) {
      return ANYECG_NOTHING;
    }
    d->skipped = 0u;
    return thrown_away(d, ANYECG_TOO_LONG, ANYECG_SKIP_REPORT_BYTES);
  }
  if (d->held < ANYECG_ENCODED_MAX) {
    d->buffer[d->held++] = byte;
    return ANYECG_NOTHING;
  }
  d->skipping = true;
  d->skipped = (uint16_t)(d->held + 1u);
  d->held = 0u;
  return ANYECG_NOTHING;
}

enum anyecg_event anyecg_decoder_reset(struct anyecg_decoder *d) {
  enum anyecg_event event = ANYECG_NOTHING;

  if (d->skipping) {
    event = close_long(d);
  } else if (d->held > 0u) {
    event = thrown_away(d, ANYECG_SHORT, d->held);
    d->held = 0u;
  }
  d->synced = false;
  return event;
}
