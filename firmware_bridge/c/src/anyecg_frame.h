/* SPDX-License-Identifier: MIT
 *
 * Frames on a byte stream: COBS( body || CRC-16 ) 00. No allocation, no IO, C99 or C++.
 *
 * Sender: make a body (anyecg_messages.h), then anyecg_frame_encode(). Send one 00 before the first frame after boot.
 * Receiver: anyecg_decoder_push() takes a byte at a time and says when a body is whole.
 * The twin in Python is firmware_bridge/wire/framing.py; both give the same for every stream.
 */
#ifndef ANYECG_FRAME_H
#define ANYECG_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ANYECG_CRC_BYTES 2u
/* A coded frame without its delimiter. One byte below the length that needs a second group. */
#define ANYECG_ENCODED_MAX 254u
/* A coded frame as it is sent, delimiter and all. */
#define ANYECG_WIRE_MAX (ANYECG_ENCODED_MAX + 1u)
#define ANYECG_FRAME_MAX (ANYECG_ENCODED_MAX - 1u)
#define ANYECG_BODY_MAX (ANYECG_FRAME_MAX - ANYECG_CRC_BYTES)
/* A stream without any delimiter (wrong rate, plain text) is reported each time this much was thrown away. */
#define ANYECG_SKIP_REPORT_BYTES 4096u

enum anyecg_event {
  ANYECG_NOTHING = 0,  /* more bytes are needed */
  ANYECG_BODY = 1,     /* decoder.buffer holds a sound body of decoder.size bytes until the next push */
  ANYECG_TOO_LONG = 2, /* from here on: decoder.size bytes were thrown away, being longer than any frame, */
  ANYECG_BAD_COBS = 3, /* no COBS, */
  ANYECG_SHORT = 4,    /* too short for a frame, */
  ANYECG_BAD_CRC = 5   /* or a damaged one */
};

struct anyecg_decoder {
  uint8_t buffer[ANYECG_ENCODED_MAX];
  uint16_t held;    /* coded bytes in the buffer */
  uint16_t size;    /* of what the last event is about */
  uint16_t skipped; /* bytes of a frame that is too long */
  bool skipping;
  bool synced; /* a sound frame was seen; bytes thrown away before are boot text */
  uint32_t frames;
  uint32_t errors;
  uint32_t error_bytes;
};

/* CRC-16/XMODEM; 0x31C3 for "123456789", 0 over a sound body with its CRC. */
uint16_t anyecg_crc16(const uint8_t *data, size_t size);

/* Codes a body of 1 to ANYECG_BODY_MAX bytes. Returns the bytes to send, delimiter included; 0 for any other size.
 * out has ANYECG_WIRE_MAX bytes and must not overlap body. */
size_t anyecg_frame_encode(const uint8_t *body, size_t size, uint8_t *out);

void anyecg_decoder_init(struct anyecg_decoder *decoder);

/* Takes the next byte. */
enum anyecg_event anyecg_decoder_push(struct anyecg_decoder *decoder, uint8_t byte);

/* Forgets a half frame, as after a lost link. ANYECG_SHORT or ANYECG_TOO_LONG where there was one. */
enum anyecg_event anyecg_decoder_reset(struct anyecg_decoder *decoder);

#ifdef __cplusplus
}
#endif

#endif
