/* SPDX-License-Identifier: MIT
 *
 * The messages of the patch protocol, version 1: the body of a frame. docs/wire-protocol.md is the specification;
 * the Python counterpart is firmware_bridge/wire/messages.py. A patch writes HELLO, DATA, STATUS and ACK and reads
 * the host's four; the other direction is here for tests and for hosts written in C.
 *
 * Writers return the size of the body, or 0 if a value does not fit. out has ANYECG_BODY_MAX bytes.
 */
#ifndef ANYECG_MESSAGES_H
#define ANYECG_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "anyecg_frame.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ANYECG_PROTOCOL 1u
#define ANYECG_HEADER_BYTES 9u
#define ANYECG_DATA_HEAD_BYTES 7u
#define ANYECG_SAMPLE_BYTES_MAX (ANYECG_BODY_MAX - ANYECG_HEADER_BYTES - ANYECG_DATA_HEAD_BYTES)
#define ANYECG_TEXT_MAX 64u
#define ANYECG_TEXTS 4u
#define ANYECG_PERCENT_UNKNOWN 255u

enum anyecg_type {
  ANYECG_HELLO = 0x01,
  ANYECG_DATA = 0x02,
  ANYECG_STATUS = 0x03,
  ANYECG_ACK = 0x04,
  ANYECG_HELLO_REQUEST = 0x81,
  ANYECG_START = 0x82,
  ANYECG_STOP = 0x83,
  ANYECG_RESEND = 0x84
};

/* Flags of DATA. */
#define ANYECG_LEAD_OFF 0x01u
#define ANYECG_OVERRUN 0x02u
#define ANYECG_SATURATED 0x04u
#define ANYECG_RESENT 0x08u

enum anyecg_format { ANYECG_INT16 = 1, ANYECG_INT24 = 2 };

enum anyecg_code {
  ANYECG_OK = 0,
  ANYECG_UNSUPPORTED = 1,
  ANYECG_BAD_VERSION = 2,
  ANYECG_BUSY = 3,
  ANYECG_BAD_ARGUMENT = 4
};

/* Tags of the texts in HELLO, and of the ring's size. */
enum anyecg_tag { ANYECG_KIND = 1, ANYECG_DEVICE_ID = 2, ANYECG_FIRMWARE = 3, ANYECG_LEAD = 4, ANYECG_TAG_RING = 5 };

struct anyecg_header {
  uint8_t version;
  uint8_t type;
  uint8_t flags;
  uint16_t seq;
  uint32_t tick;
};

/* A UTF-8 text, not terminated; size 0 for none. */
struct anyecg_text {
  const char *bytes;
  uint8_t size;
};

struct anyecg_hello {
  uint32_t boot_id;
  uint32_t tick_hz;
  uint32_t fs_num, fs_den; /* nominal rate in Hz */
  uint32_t nv_num, nv_den; /* nanovolts per count; nv_num 0: unknown */
  uint32_t band_low_mhz, band_high_mhz;
  uint32_t index; /* index of the next sample */
  uint8_t bits;
  uint8_t proto_min, proto_max;
  struct anyecg_text texts[ANYECG_TEXTS]; /* [ANYECG_KIND - 1] and so on */
  uint32_t ring_samples;
};

struct anyecg_data {
  uint32_t index;
  uint8_t boot;
  uint8_t format;
  uint8_t count;
  const uint8_t *packed;
};

struct anyecg_status {
  uint8_t percent; /* or ANYECG_PERCENT_UNKNOWN */
  uint16_t millivolts;
  uint32_t dropped;
  uint32_t index;
};

struct anyecg_ack {
  uint8_t command;
  uint8_t code;
  uint16_t detail;
  bool has_index; /* only in the answer to RESEND */
  uint32_t index;
};

struct anyecg_versions {
  uint8_t lowest, highest;
};

struct anyecg_range {
  uint32_t index, count;
};

struct anyecg_message {
  struct anyecg_header header;
  union {
    struct anyecg_hello hello;
    struct anyecg_data data;
    struct anyecg_status status;
    struct anyecg_ack ack;
    struct anyecg_versions hello_request;
    uint8_t start_version;
    struct anyecg_range resend;
  } as;
};

enum anyecg_verdict {
  ANYECG_MESSAGE = 0,
  ANYECG_MALFORMED = 1,     /* contradicts itself: count it */
  ANYECG_WRONG_VERSION = 2, /* message.header.version holds it */
  ANYECG_UNKNOWN_TYPE = 3   /* message.header.type holds it: skip and count it */
};

/* Bytes per sample; 0 for a format that version 1 does not have. */
uint8_t anyecg_sample_bytes(uint8_t format);
/* Samples that one DATA can hold: 117 or 78; 0 for an unknown format. */
uint8_t anyecg_samples_max(uint8_t format);
/* Writes a sample, clipped to the range of the format. Returns whether it was clipped. */
bool anyecg_pack_sample(uint8_t *out, uint8_t format, int32_t sample);
int32_t anyecg_unpack_sample(const uint8_t *in, uint8_t format);

size_t anyecg_write_hello(uint8_t *out, const struct anyecg_header *header, const struct anyecg_hello *hello);
size_t anyecg_write_data(uint8_t *out, const struct anyecg_header *header, const struct anyecg_data *data);
size_t anyecg_write_status(uint8_t *out, const struct anyecg_header *header, const struct anyecg_status *status);
size_t anyecg_write_ack(uint8_t *out, const struct anyecg_header *header, const struct anyecg_ack *ack);

/* Messages of the host. */
size_t anyecg_write_hello_request(uint8_t *out, uint8_t lowest, uint8_t highest);
size_t anyecg_write_start(uint8_t *out, uint8_t version);
size_t anyecg_write_stop(uint8_t *out);
size_t anyecg_write_resend(uint8_t *out, uint32_t index, uint32_t count);

/* Reads a body; texts and samples point into it. Never reads past size, whatever the content. */
enum anyecg_verdict anyecg_read(const uint8_t *body, size_t size, struct anyecg_message *message);

#ifdef __cplusplus
}
#endif

#endif
