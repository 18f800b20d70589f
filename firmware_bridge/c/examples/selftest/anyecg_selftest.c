/* SPDX-License-Identifier: MIT */
#include "anyecg_selftest.h"

#include <string.h>

#include "anyecg_frame.h"
#include "anyecg_messages.h"
#include "anyecg_vectors.h"
#include "ecg_frontend.h"

static size_t written(uint8_t *out, const struct anyecg_message *m) {
  switch (m->header.type) {
    case ANYECG_HELLO:
      return anyecg_write_hello(out, &m->header, &m->as.hello);
    case ANYECG_DATA:
      return anyecg_write_data(out, &m->header, &m->as.data);
    case ANYECG_STATUS:
      return anyecg_write_status(out, &m->header, &m->as.status);
    case ANYECG_ACK:
      return anyecg_write_ack(out, &m->header, &m->as.ack);
    case ANYECG_ESTIMATE:
      return anyecg_write_estimate(out, &m->header, &m->as.estimate);
    case ANYECG_HELLO_REQUEST:
      return anyecg_write_hello_request(out, m->as.hello_request.lowest, m->as.hello_request.highest);
    case ANYECG_START:
      return anyecg_write_start(out, m->as.start_version);
    case ANYECG_STOP:
      return anyecg_write_stop(out);
    default:
      return anyecg_write_resend(out, m->as.resend.index, m->as.resend.count);
  }
}

/* A frame that is decoded and encoded again must be the same. */
static int frame_holds(const uint8_t *wire, size_t size) {
  static struct anyecg_decoder decoder;
  static struct anyecg_message message;
  static uint8_t body[ANYECG_BODY_MAX], again[ANYECG_WIRE_MAX];
  enum anyecg_event event = ANYECG_NOTHING;
  size_t i, length;

  anyecg_decoder_init(&decoder);
  for (i = 0u; i < size; i++) {
    event = anyecg_decoder_push(&decoder, wire[i]);
  }
  if (event != ANYECG_BODY || anyecg_read(decoder.buffer, decoder.size, &message) != ANYECG_MESSAGE) {
    return 0;
  }
  length = anyecg_frame_encode(body, written(body, &message), again);
  return length == size && memcmp(again, wire, size) == 0;
}

static int front_end_holds(void) {
  static struct anyecg_stream stream;
  static int8_t window[ANYECG_STREAM_WINDOW];
  unsigned i, off = 0u;

  if (!anyecg_stream_init(&stream, VECTOR_GRID_HZ, VECTOR_BITS)) {
    return 0;
  }
  for (i = 0u; i < sizeof(vector_counts) / sizeof(vector_counts[0]); i++) {
    (void)anyecg_stream_push(&stream, vector_counts[i]);
  }
  if (!anyecg_stream_window(&stream, window)) {
    return 0;
  }
  for (i = 0u; i < ANYECG_STREAM_WINDOW; i++) {
    const int gap = (int)window[i] - (int)vector_window[i];
    if (gap > 1 || gap < -1) {
      return 0;
    }
    off += gap != 0 ? 1u : 0u;
  }
  return off <= ANYECG_STREAM_WINDOW / 100u;
}

unsigned anyecg_selftest(void (*say)(const char *name)) {
  unsigned failed = 0u;
  size_t i;

  for (i = 0u; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
    if (!frame_holds(vectors[i].wire, vectors[i].size)) {
      say(vectors[i].name);
      failed++;
    }
  }
  if (!front_end_holds()) {
    say("front end");
    failed++;
  }
  return failed;
}
