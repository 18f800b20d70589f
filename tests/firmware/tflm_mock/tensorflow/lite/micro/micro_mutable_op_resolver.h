#ifndef MOCK_RESOLVER_H
#define MOCK_RESOLVER_H
#include "tensorflow/lite/c/common.h"

namespace tflite {
/* As in TFLite Micro: only CMSIS-NN has kernels for int8 alone, else the general ones take their place. */
#ifdef CMSIS_NN
constexpr bool kInt8Kernels = true;
#else
constexpr bool kInt8Kernels = false;
#endif
inline TFLMRegistration Register_ADD() { return {false}; }
inline TFLMRegistration Register_CONV_2D() { return {false}; }
inline TFLMRegistration Register_DEPTHWISE_CONV_2D() { return {false}; }
inline TFLMRegistration Register_ADD_INT8() { return {kInt8Kernels}; }
inline TFLMRegistration Register_CONV_2D_INT8() { return {kInt8Kernels}; }
inline TFLMRegistration Register_DEPTHWISE_CONV_2D_INT8() { return {kInt8Kernels}; }

class MicroOpResolver {};

template <unsigned int tOpCount>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
  TfLiteStatus AddAdd(const TFLMRegistration &registration = Register_ADD()) { return Add(registration); }
  TfLiteStatus AddConv2D(const TFLMRegistration &registration = Register_CONV_2D()) { return Add(registration); }
  TfLiteStatus AddDepthwiseConv2D(const TFLMRegistration &registration = Register_DEPTHWISE_CONV_2D()) {
    return Add(registration);
  }
  TfLiteStatus AddMean() { return Add({false}); }
  TfLiteStatus AddReshape() { return Add({false}); }

  unsigned int int8_only() const { return int8_only_; }

 private:
  TfLiteStatus Add(const TFLMRegistration &registration) {
    int8_only_ += registration.int8_only ? 1u : 0u;
    return used_++ < tOpCount ? kTfLiteOk : kTfLiteError;
  }
  unsigned int used_ = 0;
  unsigned int int8_only_ = 0;
};
}  // namespace tflite
#endif
