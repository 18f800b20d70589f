/*
 * For libFuzzer: feeds any bytes to the decoder, the patch and the front end. Besides the sanitizers it checks that a
 * message that is decoded and encoded again stays the same, and that the patch sends only valid frames.
 */
#include <stdlib.h>
#include <string.h>

#include "anyecg_frame.h"
#include "anyecg_messages.h"
#include "anyecg_patch.h"
#include "ecg_frontend.h"

#define RING_FRAMES 7u
#define FRAME_SAMPLES 9u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

/* On the heap and of exactly that size, so that reading one byte too far is detected. */
static void read_exactly(const uint8_t *body, size_t size) {
  uint8_t *copy = malloc(size > 0u ? size : 1u);
  uint8_t again[ANYECG_BODY_MAX], wire[ANYECG_WIRE_MAX];
  struct anyecg_message message, second;
  size_t length;

  memcpy(copy, body, size);
  if (anyecg_read(copy, size, &message) == ANYECG_MESSAGE) {
    length = written(again, &message);
    if (length == 0u && message.header.type != ANYECG_HELLO && message.header.type != ANYECG_DATA) {
      abort();
    }
    if (length > 0u && (anyecg_read(again, length, &second) != ANYECG_MESSAGE ||
                        anyecg_frame_encode(again, length, wire) != length + ANYECG_CRC_BYTES + 2u)) {
      abort();
    }
  }
  free(copy);
}

static void expect_sound(const uint8_t *wire, size_t size) {
  static struct anyecg_decoder decoder;
  struct anyecg_message message;
  enum anyecg_event event = ANYECG_NOTHING;
  size_t i;

  anyecg_decoder_init(&decoder);
  for (i = 0u; i < size; i++) {
    event = anyecg_decoder_push(&decoder, wire[i]);
  }
  if (size > 1u && (event != ANYECG_BODY || anyecg_read(decoder.buffer, decoder.size, &message) != ANYECG_MESSAGE)) {
    abort();
  }
}

static void run_patch(const uint8_t *data, size_t size) {
  static uint8_t ring[ANYECG_RING_BYTES(RING_FRAMES, FRAME_SAMPLES, 3u)];
  struct anyecg_patch_config config;
  struct anyecg_patch patch;
  uint8_t body[64], wire[ANYECG_WIRE_MAX];
  uint32_t tick = 0u;
  size_t i, k, n;

  memset(&config, 0, sizeof(config));
  config.hello.tick_hz = 1000u;
  config.hello.fs_num = config.hello.fs_den = 1u;
  config.format = ANYECG_INT24;
  config.frame_samples = FRAME_SAMPLES;
  config.ring_memory = ring;
  config.ring_bytes = sizeof(ring);
  if (!anyecg_patch_init(&patch, &config)) {
    abort();
  }
  for (i = 0u; i + 9u <= size; i += 9u) {
    const uint8_t *op = data + i;
    uint32_t a, b;
    memcpy(&a, op + 1, 4u);
    memcpy(&b, op + 5, 4u);
    switch (op[0] & 7u) {
      case 0:
        n = anyecg_write_resend(body, a, b);
        break;
      case 1:
        n = anyecg_write_resend(body, patch.index - (a & 127u), b & 127u);
        break;
      case 2:
        n = anyecg_write_start(body, 1u);
        break;
      case 3:
        n = anyecg_write_hello_request(body, 1u, 1u);
        break;
      case 4:
        n = 0u;
        anyecg_patch_link(&patch, (a & 1u) != 0u);
        break;
      case 5:
        n = 0u;
        anyecg_patch_overrun(&patch, b);
        break;
      case 6:
        n = 0u;
        for (k = 0u; k < 8u; k++) {
          anyecg_patch_receive(&patch, op[1u + k]);
        }
        break;
      default:
        n = 0u;
        for (k = 0u; k < (a & 63u); k++) {
          anyecg_patch_sample(&patch, (int32_t)(b >> 1), tick++, (uint8_t)(a >> 8));
        }
        break;
    }
    n = anyecg_frame_encode(body, n, wire);
    for (k = 0u; k < n; k++) {
      anyecg_patch_receive(&patch, wire[k]);
    }
    for (k = 0u; k < 20u && (n = anyecg_patch_poll(&patch, tick, wire)) > 0u; k++) {
      expect_sound(wire, n);
    }
  }
}

static void run_front_end(const uint8_t *data, size_t size) {
  static struct anyecg_stream stream;
  static int8_t window[ANYECG_STREAM_WINDOW];
  uint32_t value = 0u;
  size_t i;

  if (size < 2u || !anyecg_stream_init(&stream, (data[0] & 1u) != 0u ? 250u : 500u, 8u + (data[1] & 15u))) {
    return;
  }
  for (i = 0u; i < 3300u; i++) {
    value = value * 33u + data[i % size];
    (void)anyecg_stream_push(&stream, (int32_t)(value >> 1) - (int32_t)(value & 0x3FFFFFFFu));
  }
  (void)anyecg_stream_window(&stream, window);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct anyecg_decoder decoder;
  size_t i;

  anyecg_decoder_init(&decoder);
  for (i = 0u; i < size; i++) {
    if (anyecg_decoder_push(&decoder, data[i]) == ANYECG_BODY) {
      read_exactly(decoder.buffer, decoder.size);
    }
  }
  (void)anyecg_decoder_reset(&decoder);
  read_exactly(data, size < ANYECG_BODY_MAX ? size : ANYECG_BODY_MAX);
  run_patch(data, size);
  if (size < 64u && size > 0u && data[0] == 3u) {
    run_front_end(data, size);
  }
  return 0;
}
