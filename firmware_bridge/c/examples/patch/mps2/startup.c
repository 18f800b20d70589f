/* SPDX-License-Identifier: MIT */
#include <stdint.h>

extern uint32_t image_stack_top[], image_data_start[], image_data_end[], image_data_load[];
extern uint32_t image_bss_start[], image_bss_end[];

extern int main(void);

void reset_handler(void);
void fault_handler(void);

#define CPACR (*(volatile uint32_t *)0xE000ED88u)

void reset_handler(void) {
  const uint32_t *from = image_data_load;
  uint32_t *to;

  CPACR |= 0xFu << 20; /* full access to the FPU */
  __asm volatile("dsb\n\tisb");
  for (to = image_data_start; to < image_data_end;) {
    *to++ = *from++;
  }
  for (to = image_bss_start; to < image_bss_end;) {
    *to++ = 0u;
  }
  (void)main();
  fault_handler();
}

void fault_handler(void) {
  for (;;) {
    __asm volatile("wfi");
  }
}

struct vectors {
  uint32_t *stack_top;
  void (*handlers[6])(void);
};

__attribute__((section(".vectors"), used)) static const struct vectors table = {
    image_stack_top,
    {reset_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler},
};
