/*
 * The C side behind lines of text: one command per line on standard input, one answer per line on standard output.
 * Python tests run it, built with sanitizers.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anyecg_estimate.h"
#include "anyecg_frame.h"
#include "anyecg_gate.h"
#include "anyecg_messages.h"
#include "anyecg_patch.h"
#include "ecg_frontend.h"

#define LINE_MAX_BYTES (1u << 20)

static char line[LINE_MAX_BYTES];
static uint8_t bytes[LINE_MAX_BYTES / 2u];
static struct anyecg_decoder decoder;
static struct anyecg_patch patch;
static struct anyecg_stream stream;
static struct anyecg_gate gate;
static struct anyecg_estimator estimator;
static int32_t heads_q[255][ANYECG_Q_FIELDS];
static struct anyecg_head_score scores[255];
static uint32_t *window_memory;
static uint8_t *ring_memory;

static void put_hex(const uint8_t *data, size_t size) {
  size_t i;
  for (i = 0u; i < size; i++) {
    printf("%02x", data[i]);
  }
}

static unsigned digit(char c) { return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10); }

static size_t get_hex(const char *text) {
  size_t n = 0u;
  while (*text == ' ') {
    text++;
  }
  for (; text[0] > ' ' && text[1] > ' '; text += 2) {
    bytes[n++] = (uint8_t)(digit(text[0]) << 4 | digit(text[1]));
  }
  return n;
}

/* A copy of exactly that size on the heap, so that the sanitizer detects reading past it. */
static uint8_t *exact(const uint8_t *data, size_t size) {
  uint8_t *copy = malloc(size > 0u ? size : 1u);
  if (copy == NULL) {
    exit(2);
  }
  memcpy(copy, data, size);
  return copy;
}

static void put_event(enum anyecg_event event) {
  static const char *const names[] = {"", "", "too_long", "cobs", "short", "crc"};
  if (event == ANYECG_BODY) {
    printf(" body:");
    put_hex(decoder.buffer, decoder.size);
  } else if (event != ANYECG_NOTHING) {
    printf(" %s:%u:%d", names[event], (unsigned)decoder.size, decoder.synced ? 1 : 0);
  }
}

static void feed(const char *text) {
  const size_t n = get_hex(text);
  size_t i;
  for (i = 0u; i < n; i++) {
    put_event(anyecg_decoder_push(&decoder, bytes[i]));
  }
}

static void put_message(const struct anyecg_message *m) {
  unsigned i;
  printf("%u %u %u %" PRIu32, (unsigned)m->header.type, (unsigned)m->header.flags, (unsigned)m->header.seq, m->header.tick);
  switch (m->header.type) {
    case ANYECG_HELLO: {
      const struct anyecg_hello *h = &m->as.hello;
      printf(" %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32, h->boot_id, h->tick_hz, h->fs_num,
             h->fs_den, h->nv_num, h->nv_den);
      printf(" %" PRIu32 " %" PRIu32 " %" PRIu32 " %u %u %u %" PRIu32, h->band_low_mhz, h->band_high_mhz, h->index,
             (unsigned)h->bits, (unsigned)h->proto_min, (unsigned)h->proto_max, h->ring_samples);
      if (h->model_heads != 0u) {
        printf(" ");
        put_hex(h->model_id, sizeof(h->model_id));
        printf(" %u %u %d", (unsigned)h->model_heads, (unsigned)h->model_hop_s, h->model_silent ? 1 : 0);
      }
      for (i = 0u; i < ANYECG_TEXTS; i++) {
        printf(" %u=", i + 1u);
        put_hex((const uint8_t *)h->texts[i].bytes, h->texts[i].size);
      }
      break;
    }
    case ANYECG_DATA: {
      const struct anyecg_data *d = &m->as.data;
      printf(" %" PRIu32 " %u %u", d->index, (unsigned)d->boot, (unsigned)d->format);
      for (i = 0u; i < d->count; i++) {
        printf(" %" PRId32, anyecg_unpack_sample(d->packed + i * anyecg_sample_bytes(d->format), d->format));
      }
      break;
    }
    case ANYECG_STATUS:
      printf(" %u %u %" PRIu32 " %" PRIu32, (unsigned)m->as.status.percent, (unsigned)m->as.status.millivolts,
             m->as.status.dropped, m->as.status.index);
      break;
    case ANYECG_ACK:
      printf(" %u %u %u", (unsigned)m->as.ack.command, (unsigned)m->as.ack.code, (unsigned)m->as.ack.detail);
      if (m->as.ack.has_index) {
        printf(" %" PRIu32, m->as.ack.index);
      }
      break;
    case ANYECG_ESTIMATE: {
      const struct anyecg_estimate *e = &m->as.estimate;
      printf(" %" PRIu32 " %u %u %u %u", e->index, (unsigned)e->boot, (unsigned)e->reason, (unsigned)e->windows,
             (unsigned)e->first);
      for (i = 0u; i < e->count; i++) {
        const struct anyecg_head_score score = anyecg_unpack_score(e->packed + i * ANYECG_SCORE_BYTES);
        printf(" %" PRId32 " %u", score.score, (unsigned)score.state);
      }
      break;
    }
    case ANYECG_HELLO_REQUEST:
      printf(" %u %u", (unsigned)m->as.hello_request.lowest, (unsigned)m->as.hello_request.highest);
      break;
    case ANYECG_START:
      printf(" %u", (unsigned)m->as.start_version);
      break;
    case ANYECG_RESEND:
      printf(" %" PRIu32 " %" PRIu32, m->as.resend.index, m->as.resend.count);
      break;
    default:
      break;
  }
}

static void read_body(const char *text) {
  static const char *const names[] = {"", "malformed", "version", "unknown"};
  const size_t n = get_hex(text);
  uint8_t *body = exact(bytes, n);
  struct anyecg_message m;
  enum anyecg_verdict verdict;

  memset(&m, 0xA5, sizeof(m));
  verdict = anyecg_read(body, n, &m);
  if (verdict == ANYECG_MESSAGE) {
    put_message(&m);
  } else {
    printf("%s", names[verdict]);
    if (verdict == ANYECG_WRONG_VERSION) {
      printf(" %u", (unsigned)m.header.version);
    } else if (verdict == ANYECG_UNKNOWN_TYPE) {
      printf(" %u", (unsigned)m.header.type);
    }
  }
  free(body);
}

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

/* Decodes a body and encodes it again, framed. */
static void rewrite(const char *text) {
  const size_t n = get_hex(text);
  uint8_t out[ANYECG_BODY_MAX], wire[ANYECG_WIRE_MAX];
  struct anyecg_message m;
  size_t size;

  if (anyecg_read(bytes, n, &m) != ANYECG_MESSAGE) {
    printf("refused");
    return;
  }
  size = written(out, &m);
  put_hex(wire, anyecg_frame_encode(out, size, wire));
}

static void patch_init(char *text) {
  struct anyecg_patch_config config;
  unsigned long v[8];
  unsigned i;

  for (i = 0u; i < 8u; i++) {
    v[i] = strtoul(text, &text, 10);
  }
  memset(&config, 0, sizeof(config));
  config.hello.model_heads = (uint8_t)v[6];
  config.hello.model_hop_s = 10u;
  config.hello.model_silent = v[7] != 0u;
  config.hello.boot_id = (uint32_t)v[0];
  config.hello.tick_hz = (uint32_t)v[1];
  config.hello.fs_num = (uint32_t)v[2];
  config.hello.fs_den = 1u;
  config.hello.nv_num = 1000u;
  config.hello.nv_den = 1u;
  config.hello.bits = (uint8_t)(v[4] == ANYECG_INT16 ? 16u : 24u);
  config.hello.texts[0].bytes = "C patch";
  config.hello.texts[0].size = 7u;
  config.frame_samples = (uint8_t)v[3];
  config.format = (uint8_t)v[4];
  config.ring_bytes = ANYECG_RING_BYTES(v[5], v[3], anyecg_sample_bytes(config.format));
  free(ring_memory);
  ring_memory = malloc(config.ring_bytes > 0u ? config.ring_bytes : 1u);
  config.ring_memory = v[5] > 0u ? ring_memory : NULL;
  printf("%d", anyecg_patch_init(&patch, &config) ? 1 : 0);
}

static void patch_samples(char *text) {
  const uint32_t tick = (uint32_t)strtoul(text, &text, 10);
  const uint32_t step = (uint32_t)strtoul(text, &text, 10);
  const uint8_t flags = (uint8_t)strtoul(text, &text, 10);
  uint32_t i;

  for (i = 0u; *text == ' '; i++) {
    anyecg_patch_sample(&patch, (int32_t)strtol(text, &text, 10), tick + i * step, flags);
  }
}

static void patch_poll(const char *text) {
  const uint32_t tick = (uint32_t)strtoul(text, NULL, 10);
  uint8_t wire[ANYECG_WIRE_MAX];
  size_t size;

  while ((size = anyecg_patch_poll(&patch, tick, wire)) > 0u) {
    put_hex(wire, size);
  }
}

static void patch_estimate(char *text) {
  const uint8_t reason = (uint8_t)strtoul(text, &text, 10);
  const uint16_t windows = (uint16_t)strtoul(text, &text, 10);
  uint8_t n = 0u;

  for (; *text == ' ' && n < 255u; n++) {
    scores[n].score = (int32_t)strtol(text, &text, 10);
    scores[n].state = (uint8_t)strtoul(text, &text, 10);
  }
  anyecg_patch_estimate(&patch, patch.index, reason, windows, scores, n);
}

/* span_s windows zero_point, then four numbers per head. */
static void estimator_init(char *text) {
  struct anyecg_estimator_config config;
  unsigned n = 0u;

  memset(&config, 0, sizeof(config));
  config.span_s = (uint32_t)strtoul(text, &text, 10);
  config.windows = (uint16_t)strtoul(text, &text, 10);
  config.zero_point = (int8_t)strtol(text, &text, 10);
  for (; *text == ' ' && n < 255u * ANYECG_Q_FIELDS; n++) {
    heads_q[n / ANYECG_Q_FIELDS][n % ANYECG_Q_FIELDS] = (int32_t)strtol(text, &text, 10);
  }
  config.count = (uint8_t)(n / ANYECG_Q_FIELDS);
  config.heads = (const int32_t(*)[ANYECG_Q_FIELDS])heads_q;
  config.scores = scores;
  free(window_memory);
  config.memory = window_memory = malloc(ANYECG_ESTIMATOR_BYTES(config.windows, config.count) + 1u);
  printf("%d", anyecg_estimator_init(&estimator, &config) ? 1 : 0);
}

static void estimator_add(char *text) {
  const uint32_t end_s = (uint32_t)strtoul(text, &text, 10);
  int8_t outputs[255];
  unsigned n = 0u, h;

  while (*text == ' ' && n < 255u) {
    outputs[n++] = (int8_t)strtol(text, &text, 10);
  }
  printf("%u", (unsigned)anyecg_estimator_add(&estimator, outputs, end_s));
  for (h = 0u; h < estimator.count; h++) {
    printf(" %" PRId32 " %u", scores[h].score, (unsigned)scores[h].state);
  }
}

static void gate_samples(char *text) {
  const uint8_t flags = (uint8_t)strtoul(text, &text, 10);

  while (*text == ' ') {
    const int32_t sample = (int32_t)strtol(text, &text, 10);
    anyecg_gate_sample(&gate, sample, flags);
    anyecg_stream_push(&stream, sample);
  }
}

static void gate_judge(void) {
  int8_t window[ANYECG_STREAM_WINDOW];
  const bool complete = anyecg_stream_window(&stream, window);

  printf("%u", (unsigned)anyecg_gate_judge(&gate, complete, window));
}

static void stream_push(char *text) {
  while (*text == ' ') {
    if (anyecg_stream_push(&stream, (int32_t)strtol(text, &text, 10))) {
      printf(" %" PRId32, anyecg_stream_latest(&stream));
    }
  }
}

static void stream_window(void) {
  int8_t window[ANYECG_STREAM_WINDOW];
  if (anyecg_stream_window(&stream, window)) {
    put_hex((const uint8_t *)window, sizeof(window));
  }
}

static void obey(char command, char *rest) {
  size_t i, n;
  switch (command) {
    case 'f': feed(rest); break;
    case 'n': anyecg_decoder_init(&decoder); break;
    case 'r': put_event(anyecg_decoder_reset(&decoder)); break;
    case 'c': printf("%" PRIu32 " %" PRIu32 " %" PRIu32, decoder.frames, decoder.errors, decoder.error_bytes); break;
    case 'e': {
      uint8_t wire[ANYECG_WIRE_MAX];
      n = get_hex(rest);
      put_hex(wire, anyecg_frame_encode(bytes, n, wire));
      break;
    }
    case 'd': read_body(rest); break;
    case 'w': rewrite(rest); break;
    case 'P': patch_init(rest); break;
    case 'R':
      n = get_hex(rest);
      for (i = 0u; i < n; i++) {
        anyecg_patch_receive(&patch, bytes[i]);
      }
      break;
    case 'S': patch_samples(rest); break;
    case 'I': patch.index = (uint32_t)strtoul(rest, NULL, 10); break;
    case 'O': anyecg_patch_overrun(&patch, (uint32_t)strtoul(rest, NULL, 10)); break;
    case 'L': anyecg_patch_link(&patch, strtoul(rest, NULL, 10) != 0u); break;
    case 'T': patch_poll(rest); break;
    case 'i': {
      const unsigned grid_hz = (unsigned)strtoul(rest, &rest, 10);
      printf("%d", anyecg_stream_init(&stream, grid_hz, (unsigned)strtoul(rest, NULL, 10)) ? 1 : 0);
      break;
    }
    case 'p': stream_push(rest); break;
    case 'q': stream_window(); break;
    case 'E': patch_estimate(rest); break;
    case 'a': estimator_init(rest); break;
    case 'b': estimator_add(rest); break;
    case 'g': anyecg_gate_init(&gate, 250u, (unsigned)strtoul(rest, NULL, 10)); break;
    case 'h': gate_samples(rest); break;
    case 'j': gate_judge(); break;
    case 'k': anyecg_gate_reset(&gate, (uint8_t)strtoul(rest, NULL, 10)); anyecg_stream_reset(&stream); break;
    case 'z':
      printf("%zu %zu %zu %zu", sizeof(struct anyecg_decoder), sizeof(struct anyecg_patch), sizeof(struct anyecg_stream),
             sizeof(struct anyecg_message));
      break;
    default: printf("?"); break;
  }
}

int main(void) {
  while (fgets(line, sizeof(line), stdin) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    obey(line[0], line + 1);
    printf("\n");
    fflush(stdout);
  }
  free(ring_memory);
  free(window_memory);
  return 0;
}
