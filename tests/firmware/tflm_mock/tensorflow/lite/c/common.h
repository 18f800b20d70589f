/* Stand-in for TFLite Micro, for tests only: the declarations that the self-test uses, under the same names. */
#ifndef TENSORFLOW_LITE_C_COMMON_H_
#define TENSORFLOW_LITE_C_COMMON_H_
#include <cstddef>
#include <cstdint>

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
enum TfLiteType { kTfLiteNoType = 0, kTfLiteFloat32 = 1, kTfLiteInt8 = 9 };

union TfLitePtrUnion {
  float *f;
  int8_t *int8;
  void *data;
};

struct TfLiteQuantizationParams {
  float scale;
  int32_t zero_point;
};

struct TfLiteTensor {
  TfLiteType type;
  TfLitePtrUnion data;
  TfLiteQuantizationParams params;
#ifndef TF_LITE_STATIC_MEMORY
  struct TfLiteDelegate *delegate; /* as in TFLite Micro: code that disagrees reads bytes from another place */
#endif
  size_t bytes;
};

/* Which kernels an operation is registered with. */
struct TFLMRegistration {
  bool int8_only;
};
#endif
