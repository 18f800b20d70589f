/* SPDX-License-Identifier: MIT
 *
 * The messages of the patch protocol, versions 1 and 2: the body of a frame. docs/wire-protocol.md is the specification;
 * the Python counterpart is firmware_bridge/wire/messages.py. A patch writes HELLO, DATA, STATUS, ACK and perhaps
 * ESTIMATE and reads the host's four; the other direction is here for tests and for hosts written in C.
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

#define ANYECG_PROTOCOL 1u /* the first byte of every message */
/* Version in START with which the host asks for ESTIMATE. */
#define ANYECG_WITH_ESTIMATES 2u
#define ANYECG_HEADER_BYTES 9u
#define ANYECG_DATA_HEAD_BYTES 7u
#define ANYECG_SAMPLE_BYTES_MAX (ANYECG_BODY_MAX - ANYECG_HEADER_BYTES - ANYECG_DATA_HEAD_BYTES)
#define ANYECG_TEXT_MAX 64u
#define ANYECG_TEXTS 4u
#define ANYECG_PERCENT_UNKNOWN 255u
#define ANYECG_ESTIMATE_HEAD_BYTES 11u
#define ANYECG_SCORE_BYTES 5u
/* Outputs that one ESTIMATE can hold. */
#define ANYECG_SCORES_MAX ((ANYECG_BODY_MAX - ANYECG_HEADER_BYTES - ANYECG_ESTIMATE_HEAD_BYTES) / ANYECG_SCORE_BYTES)
#define ANYECG_IDENTITY_BYTES 8u

enum anyecg_type {
  ANYECG_HELLO = 0x01,
  ANYECG_DATA = 0x02,
  ANYECG_STATUS = 0x03,
  ANYECG_ACK = 0x04,
  ANYECG_ESTIMATE = 0x05,
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

/* Tags of the texts in HELLO, of the ring's size and of the model. */
enum anyecg_tag {
  ANYECG_KIND = 1,
  ANYECG_DEVICE_ID = 2,
  ANYECG_FIRMWARE = 3,
  ANYECG_LEAD = 4,
  ANYECG_TAG_RING = 5,
  ANYECG_TAG_MODEL = 6
};

/* Why a patch makes no estimate. */
enum anyecg_reason {
  ANYECG_NO_REASON = 0,
  ANYECG_WARMING_UP = 1,
  ANYECG_GAP = 2,
  ANYECG_POOR_SIGNAL = 3,
  ANYECG_FLAT = 4,
  ANYECG_SATURATED_WINDOW = 5,
  ANYECG_LEAD_OFF_WINDOW = 6
};

/* State of an output in ESTIMATE. */
#define ANYECG_FLAG 0x01u    /* the value reaches its threshold */
#define ANYECG_DECIDED 0x02u /* there is a threshold, and the evidence allows a flag */

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
  uint8_t model_id[ANYECG_IDENTITY_BYTES]; /* anyecg_identity of a package; model_heads 0 for a patch without a model */
  uint8_t model_heads;
  uint8_t model_hop_s; /* seconds between two estimates */
  bool model_silent;   /* sends estimates and no samples, if the host knows ESTIMATE */
};

/* One output: calibrated logit, or value in its unit, times 2**16; and its state. */
struct anyecg_head_score {
  int32_t score;
  uint8_t state;
};

struct anyecg_estimate {
  uint32_t index; /* of the sample after the last one that the window depends on */
  uint8_t boot;
  uint8_t reason;   /* enum anyecg_reason; no scores unless 0 */
  uint16_t windows; /* in the values */
  uint8_t first;    /* number of the first output in this message */
  uint8_t count;
  const uint8_t *packed; /* count times ANYECG_SCORE_BYTES */
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
    struct anyecg_estimate estimate;
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
size_t anyecg_write_estimate(uint8_t *out, const struct anyecg_header *header, const struct anyecg_estimate *estimate);
/* Writes and reads one of an estimate's scores, ANYECG_SCORE_BYTES. */
void anyecg_pack_score(uint8_t *out, const struct anyecg_head_score *score);
struct anyecg_head_score anyecg_unpack_score(const uint8_t *in);

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
