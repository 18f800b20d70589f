/*
 * What newlib asks of a system. printf() ends in _write(): here by semihosting, which needs a debugger or QEMU. On a
 * board, define ANYECG_PUTCHAR as the function that sends a character, void your_putchar(char c).
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#ifdef ANYECG_PUTCHAR
extern void ANYECG_PUTCHAR(char c);
#else
#define SYS_WRITEC 0x03
#define SYS_EXIT_EXTENDED 0x20
#define APPLICATION_EXIT 0x20026u

static void semihosting(int operation, const void *argument) {
  register int r0 __asm("r0") = operation;
  register const void *r1 __asm("r1") = argument;

  __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}

static void put(char c) { semihosting(SYS_WRITEC, &c); }
#define ANYECG_PUTCHAR put
#endif

#define HEAP_BYTES 2048 /* for the buffer of stdout; TFLite Micro allocates nothing */

int _write(int file, const char *text, int size);
int _read(int file, char *text, int size);
int _close(int file);
int _fstat(int file, struct stat *status);
int _isatty(int file);
int _lseek(int file, int offset, int whence);
int _kill(int process, int signal);
int _getpid(void);
void *_sbrk(ptrdiff_t step);
void _exit(int status) __attribute__((noreturn));

int _write(int file, const char *text, int size) {
  int i;

  (void)file;
  for (i = 0; i < size; i++) {
    ANYECG_PUTCHAR(text[i]);
  }
  return size;
}

void *_sbrk(ptrdiff_t step) {
  static char heap[HEAP_BYTES];
  static size_t used;
  char *start = heap + used;

  if (step < 0 || (size_t)step > sizeof(heap) - used) {
    return (void *)-1;
  }
  used += (size_t)step;
  return start;
}

void _exit(int status) {
#ifdef SYS_EXIT_EXTENDED
  const uint32_t block[2] = {APPLICATION_EXIT, (uint32_t)status};

  semihosting(SYS_EXIT_EXTENDED, block);
#else
  (void)status;
#endif
  for (;;) {
    __asm volatile("wfi");
  }
}

int _read(int file, char *text, int size) {
  (void)file;
  (void)text;
  (void)size;
  return 0;
}

int _close(int file) {
  (void)file;
  return -1;
}

int _fstat(int file, struct stat *status) {
  (void)file;
  status->st_mode = S_IFCHR;
  return 0;
}

int _isatty(int file) {
  (void)file;
  return 1;
}

int _lseek(int file, int offset, int whence) {
  (void)file;
  (void)offset;
  (void)whence;
  return 0;
}

int _kill(int process, int signal) {
  (void)process;
  (void)signal;
  return -1;
}

int _getpid(void) { return 1; }
