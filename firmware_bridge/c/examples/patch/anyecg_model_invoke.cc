// SPDX-License-Identifier: MIT
#include "anyecg_model_invoke.h"

#include <cstring>

// Before anything of TFLite Micro: it includes that library's headers, and sets what they must be built with.
#include "anyecg_ops.h"

#include "anyecg_config.h"
#include "anyecg_model.h"

namespace {

ANYECG_ALIGN16 uint8_t tensor_arena[ANYECG_ARENA_BYTES];

tflite::MicroInterpreter *Interpreter() {
  static tflite::MicroMutableOpResolver<ANYECG_OP_COUNT> resolver;
  static const bool added = anyecg_add_ops(resolver) == kTfLiteOk;
  static tflite::MicroInterpreter interpreter(tflite::GetModel(anyecg_model), resolver, tensor_arena,
                                              sizeof(tensor_arena));
  static const bool ready = added && interpreter.AllocateTensors() == kTfLiteOk &&
                            interpreter.input(0)->bytes == ANYECG_INPUT_VALUES &&
                            interpreter.output(0)->bytes == ANYECG_OUTPUT_VALUES;
  return ready ? &interpreter : nullptr;
}

}  // namespace

extern "C" const unsigned anyecg_model_outputs = ANYECG_OUTPUT_VALUES;

extern "C" const int8_t *anyecg_model_invoke(const int8_t *window) {
  tflite::MicroInterpreter *interpreter = Interpreter();
  if (interpreter == nullptr) {
    return nullptr;
  }
  // Fetched on each call: an output may share its memory with the input.
  std::memcpy(interpreter->input(0)->data.int8, window, ANYECG_INPUT_VALUES);
  return interpreter->Invoke() == kTfLiteOk ? interpreter->output(0)->data.int8 : nullptr;
}
