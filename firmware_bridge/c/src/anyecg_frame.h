/* SPDX-License-Identifier: MIT
 *
 * Frames on a byte stream: COBS( body || CRC-16 ) 00. No allocation, no IO, C99 or C++.
 *
 * Sender: make a body (anyecg_messages.h), then anyecg_frame_encode(). Send one 00 before the first frame after boot.
 * Receiver: anyecg_decoder_push() takes one byte at a time and reports when a body is complete.
 * The Python counterpart is firmware_bridge/wire/framing.py; both give the same result for every stream.
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
/* Size of a coded frame without its delimiter: one below the length that needs a second group. */
#define ANYECG_ENCODED_MAX 254u
/* Size of a coded frame as sent, with its delimiter. */
#define ANYECG_WIRE_MAX (ANYECG_ENCODED_MAX + 1u)
#define ANYECG_FRAME_MAX (ANYECG_ENCODED_MAX - 1u)
#define ANYECG_BODY_MAX (ANYECG_FRAME_MAX - ANYECG_CRC_BYTES)
/* Bytes without any delimiter (wrong baud rate, plain text) after which they are reported and discarded. */
#define ANYECG_SKIP_REPORT_BYTES 4096u

enum anyecg_event {
  ANYECG_NOTHING = 0,  /* more bytes are needed */
  ANYECG_BODY = 1,     /* decoder.buffer holds a valid body of decoder.size bytes until the next push */
  ANYECG_TOO_LONG = 2, /* this and below: decoder.size bytes were discarded. Longer than any frame */
  ANYECG_BAD_COBS = 3, /* not valid COBS */
  ANYECG_SHORT = 4,    /* too short for a frame */
  ANYECG_BAD_CRC = 5   /* damaged */
};

struct anyecg_decoder {
  uint8_t buffer[ANYECG_ENCODED_MAX];
  uint16_t held;    /* coded bytes in the buffer */
  uint16_t size;    /* bytes that the last event is about */
  uint16_t skipped; /* bytes of a frame that is too long */
  bool skipping;
  bool synced; /* a valid frame was seen; bytes discarded before it are boot text */
  uint32_t frames;
  uint32_t errors;
  uint32_t error_bytes;
};

/* CRC-16/XMODEM; 0x31C3 for "123456789", 0 over a valid body with its CRC. */
uint16_t anyecg_crc16(const uint8_t *data, size_t size);

/* Encodes a body of 1 to ANYECG_BODY_MAX bytes. Returns the bytes to send, delimiter included; 0 for any other size.
 * out has ANYECG_WIRE_MAX bytes and must not overlap body. */
size_t anyecg_frame_encode(const uint8_t *body, size_t size, uint8_t *out);

void anyecg_decoder_init(struct anyecg_decoder *decoder);

/* Processes the next byte. */
enum anyecg_event anyecg_decoder_push(struct anyecg_decoder *decoder, uint8_t byte);

/* Discards an incomplete frame, as after a lost link. Returns ANYECG_SHORT or ANYECG_TOO_LONG if there was one. */
enum anyecg_event anyecg_decoder_reset(struct anyecg_decoder *decoder);

#ifdef __cplusplus
}
#endif

#endif
