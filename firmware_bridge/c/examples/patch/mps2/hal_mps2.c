/* SPDX-License-Identifier: MIT
 *
 * The example patch on Arm's MPS2 board with a Cortex-M4 (AN386), as QEMU emulates it: the first serial port, the first
 * timer, and a synthetic heart beat instead of a converter. HAL_SAMPLES may name a header with other samples: an array
 * hal_samples of int16 microvolts at 250 Hz, repeated at its end. HAL_SPEED is a factor of real time.
 */
#include "anyecg_hal.h"

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define UART_DATA REGISTER(0x40004000u)
#define UART_STATE REGISTER(0x40004004u)
#define UART_CTRL REGISTER(0x40004008u)
#define UART_BAUDDIV REGISTER(0x40004010u)
#define UART_TX_FULL 1u
#define UART_RX_FULL 2u
#define TIMER_CTRL REGISTER(0x40000000u)
#define TIMER_VALUE REGISTER(0x40000004u)
#define TIMER_RELOAD REGISTER(0x40000008u)

#ifdef HAL_SAMPLES
#include HAL_SAMPLES
#endif
#ifndef HAL_SPEED
#define HAL_SPEED 1u
#endif

#define CLOCK_HZ 25000000u
#define TICKS_PER_SAMPLE (CLOCK_HZ / 250u / HAL_SPEED)

static uint64_t elapsed;
static uint64_t next_sample;
static uint32_t phase;

uint32_t anyecg_hal_tick(void) {
  static uint32_t last;
  const uint32_t now = 0xFFFFFFFFu - TIMER_VALUE; /* it counts down */

  elapsed += now - last;
  last = now;
  return (uint32_t)elapsed;
}

void anyecg_hal_init(struct anyecg_hal_info *info) {
  TIMER_RELOAD = 0xFFFFFFFFu;
  TIMER_VALUE = 0xFFFFFFFFu;
  TIMER_CTRL = 1u;
  UART_BAUDDIV = CLOCK_HZ / 115200u;
  UART_CTRL = 3u; /* both directions */
  info->boot_id = 0x4D505332u; /* QEMU has no source of randomness */
  info->tick_hz = TICKS_PER_SAMPLE * 250u; /* of signal */
  info->nv_num = 1000u;
  info->nv_den = 1u;
  info->bits = 16u;
  info->device_id = "mps2";
}

#ifndef HAL_SAMPLES
/* A line from (x0, y0) to (x1, y1). */
static int32_t line(int32_t x, int32_t x0, int32_t y0, int32_t x1, int32_t y1) {
  return y0 + (y1 - y0) * (x - x0) / (x1 - x0);
}

/* Microvolts of a beat at 75 per minute, 200 samples long: P, QRS and T made of straight lines. */
static int32_t beat(int32_t x) {
  static const int16_t corner[][2] = {{0, 0},    {10, 120}, {20, 0},  {40, 0},  {43, -100}, {48, 1000},
                                      {53, -250}, {57, 0},   {75, 20}, {92, 250}, {105, 0},   {200, 0}};
  unsigned k = 1u;

  while (x > corner[k][0]) {
    k++;
  }
  return line(x, corner[k - 1u][0], corner[k - 1u][1], corner[k][0], corner[k][1]);
}

static int32_t converted(void) {
  const int32_t out = beat((int32_t)phase);

  phase = phase + 1u < 200u ? phase + 1u : 0u;
  return out;
}
#else
static int32_t converted(void) {
  const int32_t out = hal_samples[phase];

  phase = phase + 1u < sizeof(hal_samples) / sizeof(hal_samples[0]) ? phase + 1u : 0u;
  return out;
}
#endif

bool anyecg_hal_sample(int32_t *sample, uint32_t *tick, uint8_t *flags) {
  anyecg_hal_tick();
  if (elapsed < next_sample) {
    return false;
  }
  *sample = converted();
  *tick = (uint32_t)next_sample;
  *flags = 0u;
  next_sample += TICKS_PER_SAMPLE;
  return true;
}

bool anyecg_hal_read(uint8_t *byte) {
  if ((UART_STATE & UART_RX_FULL) == 0u) {
    return false;
  }
  *byte = (uint8_t)(UART_DATA & 0xFFu);
  return true;
}

size_t anyecg_hal_write(const uint8_t *data, size_t size) {
  size_t sent = 0u;

  while (sent < size && (UART_STATE & UART_TX_FULL) == 0u) {
    UART_DATA = data[sent++];
  }
  return sent;
}

bool anyecg_hal_connected(void) { return true; /* three wires: the hardware cannot tell */ }

bool anyecg_hal_wait(bool busy) {
  (void)busy; /* a board would sleep here (wfi) unless busy */
  return true;
}

void anyecg_hal_outputs(const int8_t *outputs, unsigned count) {
  (void)outputs; /* for example, switch on an LED */
  (void)count;
}
