/* SPDX-License-Identifier: MIT
 *
 * A whole patch: converter -> frames on a serial line, with a ring against disconnections; and, if a model is linked
 * (-DANYECG_WITH_MODEL=1), converter -> front end -> int8 window -> TFLite Micro, once a second.
 */
#include <string.h>

#include "anyecg_hal.h"
#include "anyecg_patch.h"
#include "ecg_frontend.h"

#ifndef ANYECG_WITH_MODEL
#define ANYECG_WITH_MODEL 0
#endif
#if ANYECG_WITH_MODEL
#include "anyecg_model_invoke.h"
#endif

#define FS_HZ 250u
#define FRAME_SAMPLES 25u /* 0.1 s */
#ifndef RING_FRAMES
#define RING_FRAMES 600u /* a minute: 36 000 bytes */
#endif

static struct anyecg_patch patch;
static struct anyecg_stream stream;
static uint8_t ring_memory[ANYECG_RING_BYTES(RING_FRAMES, FRAME_SAMPLES, 2u)];
static uint8_t wire[ANYECG_WIRE_MAX];
static size_t wire_size, wire_sent;

static struct anyecg_text text_of(const char *text) {
  const struct anyecg_text out = {text, (uint8_t)strlen(text)};
  return out;
}

static bool set_up(void) {
  struct anyecg_hal_info info;
  struct anyecg_patch_config config;

  memset(&config, 0, sizeof(config));
  memset(&info, 0, sizeof(info));
  anyecg_hal_init(&info);
  config.hello.boot_id = info.boot_id;
  config.hello.tick_hz = info.tick_hz;
  config.hello.fs_num = FS_HZ;
  config.hello.fs_den = 1u;
  config.hello.nv_num = info.nv_num;
  config.hello.nv_den = info.nv_den;
  config.hello.band_low_mhz = info.band_low_mhz;
  config.hello.band_high_mhz = info.band_high_mhz;
  config.hello.bits = info.bits;
  config.hello.texts[ANYECG_KIND - 1] = text_of("AnyECG example patch");
  config.hello.texts[ANYECG_DEVICE_ID - 1] = text_of(info.device_id);
  config.hello.texts[ANYECG_FIRMWARE - 1] = text_of("example 1");
  config.hello.texts[ANYECG_LEAD - 1] = text_of("II");
  config.frame_samples = FRAME_SAMPLES;
  config.format = ANYECG_INT16;
  config.ring_memory = ring_memory;
  config.ring_bytes = sizeof(ring_memory);
  return anyecg_patch_init(&patch, &config) && anyecg_stream_init(&stream, FS_HZ, info.bits);
}

static void send(void) {
  for (;;) {
    if (wire_sent == wire_size) {
      wire_sent = 0u;
      wire_size = anyecg_patch_poll(&patch, anyecg_hal_tick(), wire);
      if (wire_size == 0u) {
        return;
      }
    }
    wire_sent += anyecg_hal_write(wire + wire_sent, wire_size - wire_sent);
    if (wire_sent < wire_size) {
      return; /* the line is full: the rest is sent next time */
    }
  }
}

/* Runs the model on the last ten seconds, once a second of good signal. */
static void estimate(int32_t sample, uint8_t flags) {
  static unsigned fresh;

  if ((flags & ANYECG_LEAD_OFF) != 0u) {
    anyecg_stream_reset(&stream);
    return;
  }
  if (!anyecg_stream_push(&stream, sample) || ++fresh < ANYECG_STREAM_HZ) {
    return;
  }
  fresh = 0u;
#if ANYECG_WITH_MODEL
  {
    static int8_t window[ANYECG_STREAM_WINDOW];
    const int8_t *outputs = NULL;
    if (anyecg_stream_window(&stream, window)) {
      outputs = anyecg_model_invoke(window);
    }
    if (outputs != NULL) {
      anyecg_hal_outputs(outputs, anyecg_model_outputs);
    }
  }
#endif
}

int main(void) {
  uint32_t tick;
  int32_t sample;
  uint8_t byte, flags;
  bool connected = true;

  if (!set_up()) {
    return 1;
  }
  while (anyecg_hal_wait()) {
    if (anyecg_hal_connected() != connected) {
      connected = !connected;
      wire_size = wire_sent = 0u;
      anyecg_patch_link(&patch, connected);
    }
    while (anyecg_hal_read(&byte)) {
      anyecg_patch_receive(&patch, byte);
    }
    while (anyecg_hal_sample(&sample, &tick, &flags)) {
      anyecg_patch_sample(&patch, sample, tick, flags);
      estimate(sample, flags);
      send();
    }
    send();
  }
  return 0;
}
