#include "board.h"

#if defined(__xtensa__)

enum { CALL_EXIT = 1, CALL_READ = 3, CALL_WRITE = 4, CALL_OPEN = 5 };

static int call(int number, int a, int b, int c) {
  register int r2 __asm("a2") = number;
  register int r3 __asm("a3") = a;
  register int r4 __asm("a4") = b;
  register int r5 __asm("a5") = c;

  __asm volatile("simcall" : "+r"(r2), "+r"(r3) : "r"(r4), "r"(r5) : "memory");
  return r2;
}

int board_open(const char *path, int for_writing) {
  return call(CALL_OPEN, (int)path, for_writing ? 01 | 0100 | 01000 : 0, 0644); /* as open() on Linux: write, create, truncate */
}

unsigned board_read(int file, void *data, unsigned bytes) { return (unsigned)call(CALL_READ, file, (int)data, (int)bytes); }

unsigned board_write(int file, const void *data, unsigned bytes) {
  return (unsigned)call(CALL_WRITE, file, (int)data, (int)bytes);
}

void board_exit(int failed) { call(CALL_EXIT, failed, 0, 0); }

static uint32_t clock_now(void) {
  uint32_t now;

  __asm volatile("rsr.ccount %0" : "=r"(now));
  return now;
}

void board_spin(uint32_t loops) {
  __asm volatile("1: addi %0, %0, -1\n\tbnez %0, 1b" : "+r"(loops));
}

#else

enum { CALL_OPEN = 0x01, CALL_WRITE = 0x05, CALL_READ = 0x06, CALL_EXIT = 0x18 };
enum { READ_BINARY = 1, WRITE_BINARY = 5, EXIT_OK = 0x20026, EXIT_FAILED = 0x20023 };

#if defined(__riscv)

/* Compressed instructions would break the sequence that marks a call. */
static int call(int number, uintptr_t argument) {
  register int a0 __asm("a0") = number;
  register uintptr_t a1 __asm("a1") = argument;

  __asm volatile(".balign 16\n\t.option push\n\t.option norvc\n\tslli x0, x0, 0x1f\n\tebreak\n\tsrai x0, x0, 7\n\t"
                 ".option pop"
                 : "+r"(a0)
                 : "r"(a1)
                 : "memory");
  return a0;
}

static uint32_t clock_now(void) {
  uint32_t now;

  __asm volatile("csrr %0, minstret" : "=r"(now));
  return now;
}

void board_spin(uint32_t loops) {
  __asm volatile("1: addi %0, %0, -1\n\tbnez %0, 1b" : "+r"(loops));
}

#else

static int call(int number, uintptr_t argument) {
  register int r0 __asm("r0") = number;
  register uintptr_t r1 __asm("r1") = argument;

  __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

#define SYST_CSR (*(volatile uint32_t *)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u)

static uint32_t clock_now(void) { return 0u - SYST_CVR; } /* it counts down */

void board_spin(uint32_t loops) {
  __asm volatile(".syntax unified\n1:\n\tsubs %0, #1\n\tbne 1b" : "+l"(loops) : : "cc");
}

#define CLOCK_BITS 24

#endif

static uintptr_t length_of(const char *text) {
  uintptr_t n = 0u;

  while (text[n] != '\0') {
    n++;
  }
  return n;
}

int board_open(const char *path, int for_writing) {
  const uintptr_t block[3] = {(uintptr_t)path, for_writing ? WRITE_BINARY : READ_BINARY, length_of(path)};

  return call(CALL_OPEN, (uintptr_t)block);
}

unsigned board_read(int file, void *data, unsigned bytes) {
  const uintptr_t block[3] = {(uintptr_t)file, (uintptr_t)data, bytes};

  return bytes - (unsigned)call(CALL_READ, (uintptr_t)block);
}

unsigned board_write(int file, const void *data, unsigned bytes) {
  const uintptr_t block[3] = {(uintptr_t)file, (uintptr_t)data, bytes};

  return bytes - (unsigned)call(CALL_WRITE, (uintptr_t)block);
}

void board_exit(int failed) { call(CALL_EXIT, failed ? EXIT_FAILED : EXIT_OK); }

#endif

static uint32_t begun;

void board_start_clock(void) {
#if defined(__arm__)
  SYST_RVR = 0xFFFFFFu;
  SYST_CVR = 0u;
  SYST_CSR = 5u;
#endif
  begun = clock_now();
}

uint32_t board_ticks(void) {
#if defined(CLOCK_BITS)
  return (clock_now() - begun) & (((uint32_t)1 << CLOCK_BITS) - 1u);
#else
  return clock_now() - begun;
#endif
}
