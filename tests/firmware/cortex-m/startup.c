/* Start-up code for a Cortex-M in QEMU (mps2-an386, mps2-an500): semihosting, FPU on, returns the exit status. */
#include <stdint.h>

extern uint32_t image_stack_top[], image_data_start[], image_data_end[], image_data_load[];
extern uint32_t image_bss_start[], image_bss_end[];

extern int main(void);
extern void exit(int status) __attribute__((noreturn));
extern void initialise_monitor_handles(void);
extern void __libc_init_array(void);

void reset_handler(void);
void fault_handler(void);
void _init(void);
void _fini(void);

#define CPACR (*(volatile uint32_t *)0xE000ED88u)
#define SYS_EXIT 0x18u
#define RUN_TIME_ERROR 0x20023u

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
  initialise_monitor_handles();
  __libc_init_array();
  exit(main());
}

/* A fault must end the run with a failure, not hang it. */
void fault_handler(void) {
  register uint32_t operation __asm("r0") = SYS_EXIT;
  register uint32_t reason __asm("r1") = RUN_TIME_ERROR;

  for (;;) {
    __asm volatile("bkpt 0xAB" : "+r"(operation) : "r"(reason) : "memory");
  }
}

void _init(void) {}
void _fini(void) {}

struct vectors {
  uint32_t *stack_top;
  void (*handlers[15])(void);
};

__attribute__((section(".vectors"), used)) static const struct vectors table = {
    image_stack_top,
    {reset_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, 0, 0, 0, 0,
     fault_handler, fault_handler, 0, fault_handler, fault_handler},
};
