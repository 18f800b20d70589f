#ifndef TENSORFLOW_LITE_MICRO_MICRO_INTERPRETER_H_
#define TENSORFLOW_LITE_MICRO_MICRO_INTERPRETER_H_
#include <cstring>

#include "anyecg_golden.h"
#include "tensorflow/lite/c/common.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

#ifndef MOCK_ARENA_BYTES
#define MOCK_ARENA_BYTES 8192
#endif
#ifndef MOCK_WRONG_WINDOW
#define MOCK_WRONG_WINDOW -1
#endif

namespace tflite {
/* Returns stored outputs for the golden windows; -DMOCK_WRONG_WINDOW=k changes the last output of one by one step. */
class MicroInterpreter {
 public:
  MicroInterpreter(const Model *, const MicroOpResolver &, uint8_t *arena, size_t arena_bytes)
      : arena_bytes_(arena_bytes) {
    input_.type = output_.type = kTfLiteInt8;
    input_.data.int8 = reinterpret_cast<int8_t *>(arena);
    output_.data.int8 = reinterpret_cast<int8_t *>(arena); /* input and output overlap, as TFLite Micro may plan them */
    input_.bytes = ANYECG_INPUT_VALUES;
    output_.bytes = ANYECG_OUTPUT_VALUES;
    input_.params = {ANYECG_INPUT_SCALE, ANYECG_INPUT_ZERO_POINT};
    output_.params = {ANYECG_OUTPUT_SCALE, ANYECG_OUTPUT_ZERO_POINT};
  }

  TfLiteStatus AllocateTensors() { return arena_bytes_ < MOCK_ARENA_BYTES ? kTfLiteError : kTfLiteOk; }

  TfLiteStatus Invoke() {
    for (unsigned k = 0; k < ANYECG_GOLDEN_WINDOWS; k++) {
      if (std::memcmp(input_.data.int8, anyecg_golden_inputs[k], ANYECG_INPUT_VALUES) == 0) {
        std::memcpy(output_.data.int8, anyecg_golden_outputs[k], ANYECG_OUTPUT_VALUES);
        if (static_cast<int>(k) == MOCK_WRONG_WINDOW) {
          output_.data.int8[ANYECG_OUTPUT_VALUES - 1u] ^= 1;
        }
        return kTfLiteOk;
      }
    }
    return kTfLiteError;
  }

  TfLiteTensor *input(size_t index) { return index == 0 ? &input_ : nullptr; }
  TfLiteTensor *output(size_t index) { return index == 0 ? &output_ : nullptr; }
  size_t arena_used_bytes() const { return MOCK_ARENA_BYTES; }

 private:
  size_t arena_bytes_;
  TfLiteTensor input_ = {};
  TfLiteTensor output_ = {};
};
}  // namespace tflite
#endif
