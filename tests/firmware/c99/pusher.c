/* Compares anyecg_push() with the window form. Reads int16 counts from standard input, where -32768 stands for a gap;
 * arguments: rate, bits, hop. Prints the number of windows; exit status 1 if any output differs or comes too late. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anyecg_push.h"

#define GAP (-32768)

static struct anyecg_pusher pusher;
static struct anyecg_stream stream;
static struct anyecg_network network;
static int8_t window[ANYECG_INPUT_VALUES];
static int8_t wanted[ANYECG_OUTPUT_VALUES];

int main(int argc, char **argv) {
  const unsigned rate = argc > 3 ? (unsigned)atoi(argv[1]) : 0u, bits = argc > 3 ? (unsigned)atoi(argv[2]) : 0u;
  const unsigned hop = argc > 3 ? (unsigned)atoi(argv[3]) : 0u;
  unsigned until = 1u, windows = 0u, done = 0u;
  int16_t sample;

  if (!anyecg_stream_init(&stream, rate, bits) || !anyecg_push_init(&pusher, rate, bits, hop)) {
    return 2;
  }
  while (fread(&sample, sizeof(sample), 1, stdin) == 1) {
    bool ready, begins = false;
    if (sample == GAP) {
      anyecg_stream_reset(&stream);
      anyecg_push_gap(&pusher);
      until = 1u;
      continue;
    }
    if (anyecg_stream_push(&stream, sample) && anyecg_stream_window(&stream, window)) {
      begins = --until == 0u;
    }
    if (begins && windows != done) {
      printf("window %u is late\n", windows);
      return 1;
    }
    ready = anyecg_push(&pusher, sample);
    if (begins) {
      until = hop;
      windows++;
      anyecg_predict(&network, window, wanted);
    }
    if (ready && (++done != windows || memcmp(pusher.outputs, wanted, sizeof(wanted)) != 0)) {
      printf("window %u differs\n", windows);
      return 1;
    }
  }
  printf("%u windows\n", done);
  return 0;
}
