// SPDX-License-Identifier: MIT
//
// An AD8232 board on a Cortex-M board with a 12-bit converter (nRF52840, SAMD51, RP2040, STM32 ...), 250 Hz, to a
// Raspberry Pi over USB:  anyecg run --source serial:/dev/ttyACM0
//
// Wiring: OUTPUT -> A0, LO+ -> D10, LO- -> D11, 3.3V, GND. Power it from a battery while electrodes are on a person.
// For a converter that times its own samples (MAX30003, ADS1292R) replace takeSample() by its queue.

#include <AnyECG.h>

static const uint8_t ECG_PIN = A0;
static const uint8_t LEAD_OFF_PLUS_PIN = 10;
static const uint8_t LEAD_OFF_MINUS_PIN = 11;
static const uint8_t FRAME_SAMPLES = 25;      // 0.1 s
static const uint16_t RING_FRAMES = 200;      // 20 s, 12 KB
static const uint32_t PERIOD_US = 4000;       // 250 Hz
static const uint32_t LATE_US = 10 * PERIOD_US;  // when later than this, samples are missing

static anyecg_patch patch;
static uint8_t ring[ANYECG_RING_BYTES(RING_FRAMES, FRAME_SAMPLES, 2)];
static uint8_t wire[ANYECG_WIRE_MAX];
static size_t wireSize, wireSent;
static uint32_t nextSampleUs;

static anyecg_text text(const char *bytes) {
  anyecg_text out;
  out.bytes = bytes;
  out.size = static_cast<uint8_t>(strlen(bytes));
  return out;
}

void setup() {
  Serial.begin(115200);
  pinMode(LEAD_OFF_PLUS_PIN, INPUT);
  pinMode(LEAD_OFF_MINUS_PIN, INPUT);
  analogReadResolution(12);

  anyecg_patch_config config;
  memset(&config, 0, sizeof(config));
  // Random at each boot: the noise of an open converter, and how long it took. Use the chip's own source if any.
  for (uint8_t i = 0; i < 32; i++) {
    config.hello.boot_id = config.hello.boot_id * 33u + static_cast<uint32_t>(analogRead(ECG_PIN)) + micros();
  }
  config.hello.tick_hz = 1000000;
  config.hello.fs_num = 250;
  config.hello.fs_den = 1;
  // Nanovolts per count. The board's gain is about 100, so about 33000000 / 4096 for 3.3 V; but it varies
  // between boards, so leave 0 (unknown) until you measure yours with a 1 mV pulse.
  config.hello.nv_num = 0;
  config.hello.nv_den = 1;
  config.hello.band_low_mhz = 500;
  config.hello.band_high_mhz = 40000;
  config.hello.bits = 12;
  config.hello.texts[ANYECG_KIND - 1] = text("AD8232 patch");
  config.hello.texts[ANYECG_DEVICE_ID - 1] = text("0001");
  config.hello.texts[ANYECG_FIRMWARE - 1] = text("sketch 1");
  config.frame_samples = FRAME_SAMPLES;
  config.format = ANYECG_INT16;
  config.ring_memory = ring;
  config.ring_bytes = sizeof(ring);
  anyecg_patch_init(&patch, &config);
  nextSampleUs = micros();
}

static void takeSample() {
  const uint32_t late = micros() - nextSampleUs;
  if (late >= 0x80000000u) {
    return;  // not yet
  }
  if (late > LATE_US) {
    // Something blocked the processor: samples that were not taken count as lost.
    anyecg_patch_overrun(&patch, late / PERIOD_US);
    nextSampleUs += late / PERIOD_US * PERIOD_US;
  }
  const bool off = digitalRead(LEAD_OFF_PLUS_PIN) == HIGH || digitalRead(LEAD_OFF_MINUS_PIN) == HIGH;
  const int32_t sample = static_cast<int32_t>(analogRead(ECG_PIN)) - 2048;
  anyecg_patch_sample(&patch, sample, nextSampleUs, off ? ANYECG_LEAD_OFF : 0);
  nextSampleUs += PERIOD_US;
}

static void sendFrames() {
  for (;;) {
    if (wireSent == wireSize) {
      wireSent = 0;
      wireSize = anyecg_patch_poll(&patch, micros(), wire);
      if (wireSize == 0) {
        return;
      }
    }
    const int room = Serial.availableForWrite();
    const size_t left = wireSize - wireSent;
    const size_t now = room <= 0 ? 0 : (static_cast<size_t>(room) < left ? static_cast<size_t>(room) : left);
    if (now == 0) {
      return;  // the line is full: the rest is sent next time
    }
    wireSent += Serial.write(wire + wireSent, now);
  }
}

void loop() {
  takeSample();
  while (Serial.available() > 0) {
    anyecg_patch_receive(&patch, static_cast<uint8_t>(Serial.read()));
  }
  sendFrames();
}
