/* Start of a bare Cortex-M: what must have happened before main(). The vector table has room for your interrupts. */
#include <stdint.h>

extern uint32_t image_stack_top[], image_data_start[], image_data_end[], image_data_load[];
extern uint32_t image_bss_start[], image_bss_end[];

extern int main(void);
extern void __libc_init_array(void);
extern void _exit(int status);

void reset_handler(void);
void fault_handler(void);
void _init(void);
void _fini(void);

#define CPACR (*(volatile uint32_t *)0xE000ED88u)

/* newlib's __libc_init_array() and exit() call these; they are in crti.o, which -nostartfiles leaves out. */
void _init(void) {}
void _fini(void) {}

void reset_handler(void) {
  const uint32_t *from = image_data_load;
  uint32_t *to;

#ifdef __ARM_FP
  CPACR |= 0xFu << 20; /* access to the FPU (and Helium): without it, the first float instruction faults */
  __asm volatile("dsb\n\tisb");
#endif
  for (to = image_data_start; to < image_data_end;) {
    *to++ = *from++;
  }
  for (to = image_bss_start; to < image_bss_end;) {
    *to++ = 0u;
  }
  __libc_init_array(); /* constructors of C++ */
  _exit(main());
}

void fault_handler(void) { _exit(70); }

struct vectors {
  uint32_t *stack_top;
  void (*handlers[15])(void);
};

__attribute__((section(".vectors"), used)) static const struct vectors table = {
    image_stack_top,
    {reset_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
     fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
     fault_handler},
};
