/* Runs the windows of windows.bin through the network; writes the outputs to outputs.bin and three numbers to
 * figures.bin: ticks of a known number of instructions, the largest number of ticks of a window, bytes of stack. */
#include "anyecg_network.h"
#include "board.h"

#define SPIN_LOOPS 200000u
#define STACK_PROBE 2048u
#define PAINT 0xA5u

static struct anyecg_network network;
static int8_t window[ANYECG_INPUT_VALUES];
static int8_t outputs[ANYECG_OUTPUT_VALUES];

static uint8_t *stack_pointer(void) {
  uint8_t *sp;

#if defined(__xtensa__)
  __asm volatile("mov %0, a1" : "=r"(sp));
#elif defined(__riscv)
  __asm volatile("mv %0, sp" : "=r"(sp));
#else
  __asm volatile("mov %0, sp" : "=r"(sp));
#endif
  return sp;
}

static void __attribute__((noinline)) predict(void) { anyecg_predict(&network, window, outputs); }

/* Returns how many bytes below the stack of main() the network uses. */
static unsigned stack_used(void) {
  volatile uint8_t *top = stack_pointer();
  unsigned n;

  for (n = 1u; n <= STACK_PROBE; n++) {
    top[-(int)n] = PAINT;
  }
  predict();
  for (n = STACK_PROBE; n > 0u && top[-(int)n] == PAINT;) {
    n--;
  }
  return n;
}

int main(void) {
  const int in = board_open("windows.bin", 0), out = board_open("outputs.bin", 1), notes = board_open("figures.bin", 1);
  uint32_t figures[3] = {0u, 0u, 0u};

  if (in < 0 || out < 0 || notes < 0) {
    return 1;
  }
  board_start_clock();
  board_spin(SPIN_LOOPS);
  figures[0] = board_ticks();
  while (board_read(in, window, sizeof(window)) == sizeof(window)) {
    uint32_t ticks;
    board_start_clock();
    predict();
    ticks = board_ticks();
    figures[1] = ticks > figures[1] ? ticks : figures[1];
    if (board_write(out, outputs, sizeof(outputs)) != sizeof(outputs)) {
      return 1;
    }
  }
  figures[2] = stack_used();
  return board_write(notes, figures, sizeof(figures)) != sizeof(figures);
}
