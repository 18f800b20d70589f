/* Pushes the int16 counts of samples.bin, 250 Hz, 16 bits, with a hop of one second; writes the outputs to outputs.bin
 * and three numbers to figures.bin: ticks of a known number of instructions, the largest number of ticks of a push, and
 * the sum of all of them in the last hop. */
#include "anyecg_push.h"
#include "board.h"

#define SPIN_LOOPS 200000u
#define HOP 125u

static struct anyecg_pusher pusher;

int main(void) {
  const int in = board_open("samples.bin", 0), out = board_open("outputs.bin", 1), notes = board_open("figures.bin", 1);
  uint32_t figures[3] = {0u, 0u, 0u};
  uint32_t sum = 0u;
  int16_t sample;

  if (in < 0 || out < 0 || notes < 0 || !anyecg_push_init(&pusher, 250u, 16u, HOP)) {
    return 1;
  }
  board_start_clock();
  board_spin(SPIN_LOOPS);
  figures[0] = board_ticks();
  while (board_read(in, &sample, sizeof(sample)) == sizeof(sample)) {
    uint32_t ticks;
    bool ready;
    board_start_clock();
    ready = anyecg_push(&pusher, sample);
    ticks = board_ticks();
    figures[1] = ticks > figures[1] ? ticks : figures[1];
    sum += ticks;
    if (ready) {
      figures[2] = sum;
      sum = 0u;
      if (board_write(out, pusher.outputs, sizeof(pusher.outputs)) != sizeof(pusher.outputs)) {
        return 1;
      }
    }
  }
  return board_write(notes, figures, sizeof(figures)) != sizeof(figures);
}
