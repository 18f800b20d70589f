/*
 * Self-test: loads the model into TFLite Micro, runs the golden windows and compares every output.
 *
 * Exit status 0 only when all outputs are equal. Without an operating system, call anyecg_self_test() and define
 * ANYECG_NO_MAIN (Arduino and ESP-IDF are recognised). ANYECG_PRINTF may name another function than printf.
 * ANYECG_TICKS, an expression that reads a free-running counter, prints the time per window.
 */
#if defined(ARDUINO) && defined(__has_include)
#if !__has_include("tensorflow/lite/micro/micro_interpreter.h")
#define ANYECG_NO_SELF_TEST /* the library is used for its arrays alone */
#endif
#endif

#ifndef ANYECG_NO_SELF_TEST
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "anyecg_ops.h" /* first: it sets what TFLite Micro's headers depend on */

#include "anyecg_check.h"
#include "anyecg_config.h"
#include "anyecg_golden.h"
#include "anyecg_model.h"

#ifndef ANYECG_PRINTF
#define ANYECG_PRINTF printf
#endif

extern "C" int anyecg_self_test(void);

namespace {

/* TFLITE_SCHEMA_VERSION, which has lived in different headers. */
constexpr uint32_t kSchemaVersion = 3;

ANYECG_ALIGN16 uint8_t tensor_arena[ANYECG_ARENA_BYTES];

bool Fail(const char *what) {
  ANYECG_PRINTF("anyecg self-test: FAILED: %s\n", what);
  return false;
}

bool TensorFits(const TfLiteTensor *tensor, size_t values, float scale, int32_t zero_point) {
  const float off = tensor == nullptr ? 1.0f : tensor->params.scale - scale;
  return tensor != nullptr && tensor->type == kTfLiteInt8 && tensor->bytes == values && off < 1e-6f * scale &&
         off > -1e-6f * scale && tensor->params.zero_point == zero_point;
}

/* Returns how many of the outputs differ; a failed Invoke() counts as all of them. */
unsigned RunWindow(tflite::MicroInterpreter &interpreter, unsigned window, int *worst) {
  /* Asked for anew each time: an output may share its memory with the input. */
  memcpy(interpreter.input(0)->data.int8, anyecg_golden_inputs[window], ANYECG_INPUT_VALUES);
#ifdef ANYECG_TICKS
  const unsigned long start = static_cast<unsigned long>(ANYECG_TICKS);
#endif
  if (interpreter.Invoke() != kTfLiteOk) {
    Fail("Invoke()");
    return ANYECG_OUTPUT_VALUES;
  }
#ifdef ANYECG_TICKS
  ANYECG_PRINTF("anyecg self-test: window %u: %lu ticks\n", window, static_cast<unsigned long>(ANYECG_TICKS) - start);
#endif
  const int8_t *found = interpreter.output(0)->data.int8;
  unsigned different = 0;
  for (unsigned i = 0; i < ANYECG_OUTPUT_VALUES; i++) {
    const int gap = static_cast<int>(found[i]) - static_cast<int>(anyecg_golden_outputs[window][i]);
    different += gap != 0 ? 1u : 0u;
    *worst = gap > *worst ? gap : (-gap > *worst ? -gap : *worst);
  }
  return different;
}

bool SelfTest() {
  if (anyecg_check() != 0) {
    return Fail("the arrays in flash are damaged; check/main.c says which");
  }
  const tflite::Model *model = tflite::GetModel(anyecg_model);
  if (model->version() != kSchemaVersion) {
    return Fail("the model's schema version is not 3");
  }
  tflite::MicroMutableOpResolver<ANYECG_OP_COUNT> resolver;
  if (anyecg_add_ops(resolver) != kTfLiteOk) {
    return Fail("an operation could not be registered");
  }
  tflite::MicroInterpreter interpreter(model, resolver, tensor_arena, sizeof(tensor_arena));
  if (interpreter.AllocateTensors() != kTfLiteOk) {
    return Fail("AllocateTensors(): define a larger ANYECG_ARENA_BYTES");
  }
  if (!TensorFits(interpreter.input(0), ANYECG_INPUT_VALUES, ANYECG_INPUT_SCALE, ANYECG_INPUT_ZERO_POINT) ||
      !TensorFits(interpreter.output(0), ANYECG_OUTPUT_VALUES, ANYECG_OUTPUT_SCALE, ANYECG_OUTPUT_ZERO_POINT)) {
    return Fail("the model's input or output is not what anyecg_config.h says; was the library built with the same "
                "TF_LITE_STATIC_MEMORY as this file?");
  }
  unsigned different = 0;
  int worst = 0;
  for (unsigned window = 0; window < ANYECG_GOLDEN_WINDOWS; window++) {
    different += RunWindow(interpreter, window, &worst);
  }
  ANYECG_PRINTF("anyecg self-test: %s: %u of %u outputs differ (by at most %d), arena %lu of %lu bytes used\n",
                different == 0 ? "ok" : "FAILED", different,
                static_cast<unsigned>(ANYECG_GOLDEN_WINDOWS) * static_cast<unsigned>(ANYECG_OUTPUT_VALUES), worst,
                static_cast<unsigned long>(interpreter.arena_used_bytes()),
                static_cast<unsigned long>(sizeof(tensor_arena)));
  return different == 0;
}

}  // namespace

/* Returns 0 when every output of every golden window equals. */
extern "C" int anyecg_self_test(void) { return SelfTest() ? 0 : 1; }

#if defined(ESP_PLATFORM) && !defined(ARDUINO) && !defined(ANYECG_NO_MAIN)
extern "C" void app_main(void) { anyecg_self_test(); }
#elif !defined(ARDUINO) && !defined(ANYECG_NO_MAIN)
int main() { return anyecg_self_test(); }
#endif
#endif
