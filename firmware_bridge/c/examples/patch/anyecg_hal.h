/* SPDX-License-Identifier: MIT
 *
 * The hardware layer of the example patch: a clock, a converter, a serial line. hal_host.c is a process on a computer,
 * mps2/hal_mps2.c a Cortex-M4 in QEMU; write one for your board. Only anyecg_hal_wait() may wait.
 */
#ifndef ANYECG_HAL_H
#define ANYECG_HAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Properties of the converter and the clock. */
struct anyecg_hal_info {
  uint32_t boot_id; /* random at each boot */
  uint32_t tick_hz;
  uint32_t nv_num, nv_den; /* nanovolts per count; nv_num 0: unknown */
  uint32_t band_low_mhz, band_high_mhz;
  uint8_t bits; /* resolution of a sample */
  const char *device_id;
};

void anyecg_hal_init(struct anyecg_hal_info *info);

/* A counter at info.tick_hz that wraps at 2**32. */
uint32_t anyecg_hal_tick(void);

/* The converter's next sample, at 250 Hz, with its tick and ANYECG_LEAD_OFF; false if none waits. */
bool anyecg_hal_sample(int32_t *sample, uint32_t *tick, uint8_t *flags);

/* A byte from the host; false if none waits. */
bool anyecg_hal_read(uint8_t *byte);

/* Sends as many bytes as fit now; returns their number. */
size_t anyecg_hal_write(const uint8_t *data, size_t size);

/* Whether a host is there, as far as the hardware knows (DTR, a Bluetooth connection); true if it does not. */
bool anyecg_hal_connected(void);

/* Sleeps until there may be something to do, and not at all if the patch is busy. Returns whether to continue: always
 * true on a board. */
bool anyecg_hal_wait(bool busy);

/* The model's outputs, whenever it ran. */
void anyecg_hal_outputs(const int8_t *outputs, unsigned count);

#endif
