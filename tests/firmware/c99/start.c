/* Start-up of the emulated program: memory, stack, main. Of the C library there is only what copies and fills memory. */
#include <stddef.h>
#include <stdint.h>

#include "board.h"

extern uint32_t image_stack_top[], image_data_start[], image_data_end[], image_data_load[];
extern uint32_t image_bss_start[], image_bss_end[];

int main(void);
void start(void) __attribute__((noreturn));
void *memcpy(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);

/* Compilers turn loops like these into calls of the same functions, unless told not to. */
__attribute__((optimize("no-tree-loop-distribute-patterns"))) void *memcpy(void *to, const void *from, size_t bytes) {
  uint8_t *t = to;
  const uint8_t *f = from;

  while (bytes-- != 0u) {
    *t++ = *f++;
  }
  return to;
}

__attribute__((optimize("no-tree-loop-distribute-patterns"))) void *memset(void *to, int value, size_t bytes) {
  uint8_t *t = to;

  while (bytes-- != 0u) {
    *t++ = (uint8_t)value;
  }
  return to;
}

/* Copies towards lower addresses only, which is what the front end does. */
void *memmove(void *to, const void *from, size_t bytes) { return memcpy(to, from, bytes); }

void start(void) {
  const uint32_t *from = image_data_load;
  uint32_t *to;

#if defined(__ARM_FP)
  *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* full access to the floating-point unit */
  __asm volatile("dsb\n\tisb");
#endif
  for (to = image_data_start; to < image_data_end;) {
    *to++ = *from++;
  }
  for (to = image_bss_start; to < image_bss_end;) {
    *to++ = 0u;
  }
  board_exit(main());
  for (;;) {
  }
}

#if defined(__arm__)

/* A fault must end the run with a failure, not hang it. */
static void fault(void) {
  board_exit(1);
  for (;;) {
  }
}

struct vectors {
  uint32_t *stack_top;
  void (*handlers[15])(void);
};

__attribute__((section(".vectors"), used)) static const struct vectors table = {
    image_stack_top,
    {start, fault, fault, fault, fault, fault, fault, 0, 0, 0, fault, fault, 0, fault, fault},
};

#elif defined(__riscv)

__asm(".section .vectors, \"ax\"\n.globl entry\nentry:\n\tla sp, image_stack_top\n\tla t0, trap\n\tcsrw mtvec, t0\n\tj start\n"
      ".balign 4\ntrap:\n\tli a0, 1\n\tj board_exit\n.text");

#else

__asm(".section .vectors, \"ax\"\n.globl entry\nentry:\n\tj 1f\n\t.align 4\n\t.literal_position\n1:\n\tmovi a1, image_stack_top\n\tcall0 start\n.text");

#endif
