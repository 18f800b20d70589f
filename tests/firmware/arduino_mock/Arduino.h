/* A stand-in for an Arduino core: serial port on standard input and output; each clock reading advances 100 us. */
#ifndef MOCK_ARDUINO_H
#define MOCK_ARDUINO_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define A0 14
#define INPUT 0
#define HIGH 1

static uint32_t mock_us = 0xFFF00000u; /* wraps soon */

inline uint32_t micros() { return mock_us += 100u; }
inline void pinMode(uint8_t, uint8_t) {}
inline void analogReadResolution(int) {}
inline int digitalRead(uint8_t) { return 0; }
inline int analogRead(uint8_t) { return 2048 + static_cast<int>(mock_us / 4000u % 100u); }

struct MockSerial {
  void begin(long) {}
  int available() { return next == EOF ? (next = getchar()) != EOF : 1; }
  int read() {
    const int out = next;
    next = EOF;
    return out;
  }
  int availableForWrite() { return 7; } /* so that frames are sent in pieces */
  size_t write(const uint8_t *data, size_t size) { return fwrite(data, 1, size, stdout); }
  int next = EOF;
};
static MockSerial Serial;

void setup();
void loop();

int main() {
  setup();
  for (long i = 0; i < 40000; i++) {
    loop();
  }
  return 0;
}
#endif
