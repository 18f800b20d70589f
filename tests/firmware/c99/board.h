/* What the emulated program needs from a processor: files of the host, a clock that counts instructions, and an exit.
 * QEMU's semihosting (ARM, RISC-V) or simulator calls (Xtensa); the clock needs -icount. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

/* Opens a file of the working folder on the host. Returns a negative number if it cannot. */
int board_open(const char *path, int for_writing);

/* Return the number of bytes read or written. */
unsigned board_read(int file, void *data, unsigned bytes);
unsigned board_write(int file, const void *data, unsigned bytes);

void board_exit(int failed);

/* Begins to count. Returns the ticks since then; a tick is any number of instructions, but always the same. */
void board_start_clock(void);
uint32_t board_ticks(void);

/* Runs |loops| loops of two instructions: a subtraction and a branch that is taken. */
void board_spin(uint32_t loops);

#endif
