/* SPDX-License-Identifier: MIT
 *
 * The example patch as a process: the serial line is standard input and output, the converter a file. POSIX.
 *
 * ANYECG_SAMPLES  file of int32 in this machine's byte order, microvolts, repeated at its end
 * ANYECG_SPEED    factor of real time
 * ANYECG_SECONDS  seconds of signal until the end
 * SIGUSR1 takes the link down, SIGUSR2 brings it up.
 */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "anyecg_hal.h"

#define FS_HZ 250.0
#define TICK_HZ 32768u
#define SAMPLES_MAX 2000000u
#define WAIT_MS 2

static int32_t samples[SAMPLES_MAX];
static size_t sample_count;
static uint64_t taken;
static double speed = 1.0, seconds = 1e12;
static struct timespec started;
static volatile sig_atomic_t link_up = 1;
static bool input_ended;

static void on_link(int number) { link_up = number == SIGUSR2; }

static double setting(const char *name, double otherwise) {
  const char *text = getenv(name);
  return text != NULL ? strtod(text, NULL) : otherwise;
}

static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return ((double)(now.tv_sec - started.tv_sec) + (double)(now.tv_nsec - started.tv_nsec) * 1e-9) * speed;
}

void anyecg_hal_init(struct anyecg_hal_info *info) {
  const char *path = getenv("ANYECG_SAMPLES");
  FILE *file = path != NULL ? fopen(path, "rb") : NULL;
  struct sigaction action;

  if (file == NULL) {
    fprintf(stderr, "ANYECG_SAMPLES names no file that can be read\n");
    exit(1);
  }
  sample_count = fread(samples, sizeof(samples[0]), SAMPLES_MAX, file);
  fclose(file);
  if (sample_count == 0u) {
    fprintf(stderr, "%s holds no samples\n", path);
    exit(1);
  }
  speed = setting("ANYECG_SPEED", 1.0);
  seconds = setting("ANYECG_SECONDS", 1e12);
  action.sa_handler = on_link;
  action.sa_flags = 0;
  sigemptyset(&action.sa_mask);
  sigaction(SIGUSR1, &action, NULL);
  sigaction(SIGUSR2, &action, NULL);
  fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
  fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK);
  clock_gettime(CLOCK_MONOTONIC, &started);
  info->boot_id = (uint32_t)started.tv_nsec ^ (uint32_t)getpid() << 20;
  info->tick_hz = TICK_HZ;
  info->nv_num = 1000u; /* a microvolt per count */
  info->nv_den = 1u;
  info->band_low_mhz = 50u;
  info->band_high_mhz = 100000u;
  info->bits = 16u;
  info->device_id = "c-host";
}

uint32_t anyecg_hal_tick(void) { return (uint32_t)(uint64_t)(now_s() * TICK_HZ); }

bool anyecg_hal_sample(int32_t *sample, uint32_t *tick, uint8_t *flags) {
  const double at_s = (double)taken / FS_HZ;

  if (at_s > now_s() || at_s >= seconds) {
    return false;
  }
  *sample = samples[taken % sample_count];
  *tick = (uint32_t)(uint64_t)(at_s * TICK_HZ);
  *flags = 0u;
  taken++;
  return true;
}

bool anyecg_hal_read(uint8_t *byte) {
  const ssize_t got = read(STDIN_FILENO, byte, 1u);

  input_ended = input_ended || got == 0;
  return got == 1 && link_up != 0;
}

size_t anyecg_hal_write(const uint8_t *data, size_t size) {
  const ssize_t sent = write(STDOUT_FILENO, data, size);
  return sent > 0 ? (size_t)sent : 0u;
}

bool anyecg_hal_connected(void) { return link_up != 0; }

bool anyecg_hal_wait(bool busy) {
  struct pollfd input = {STDIN_FILENO, POLLIN, 0};

  poll(&input, 1u, busy ? 0 : WAIT_MS);
  return !input_ended && (double)taken / FS_HZ < seconds;
}

void anyecg_hal_outputs(const int8_t *outputs, unsigned count) {
  unsigned i;

  for (i = 0u; i < count; i++) {
    fprintf(stderr, i + 1u < count ? "%d " : "%d\n", (int)outputs[i]);
  }
}
