/* SPDX-License-Identifier: MIT
 *
 * A whole patch: converter -> frames on a serial line, with a ring against disconnections. With a model linked
 * (-DANYECG_WITH_MODEL=1, patch_estimate.c and the package of a bundle) it also makes estimates itself.
 */
#include <string.h>

#include "anyecg_hal.h"
#include "anyecg_patch.h"

#ifndef ANYECG_WITH_MODEL
#define ANYECG_WITH_MODEL 0
#endif
#if ANYECG_WITH_MODEL
#include "patch_estimate.h"
#endif

#define FS_HZ 250u
#define FRAME_SAMPLES 25u /* 0.1 s */
#ifndef RING_FRAMES
#define RING_FRAMES 600u /* a minute: 36 000 bytes */
#endif

static struct anyecg_patch patch;
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
#if ANYECG_WITH_MODEL
  if (!patch_estimate_init(&config.hello, info.bits)) {
    return false;
  }
#endif
  return anyecg_patch_init(&patch, &config);
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

int main(void) {
  uint32_t tick;
  int32_t sample;
  uint8_t byte, flags;
  bool connected = true, busy = false;

  if (!set_up()) {
    return 1;
  }
  while (anyecg_hal_wait(busy)) {
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
#if ANYECG_WITH_MODEL
      patch_estimate_sample(sample, flags, patch.index);
#endif
      send();
    }
#if ANYECG_WITH_MODEL
    busy = patch_estimate_work(&patch);
#endif
    send();
  }
  return 0;
}
