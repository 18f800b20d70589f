#ifndef MOCK_RESOLVER_H
#define MOCK_RESOLVER_H
#include "tensorflow/lite/c/common.h"

namespace tflite {
class MicroOpResolver {};

template <unsigned int tOpCount>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
  TfLiteStatus AddAdd() { return Add(); }
  TfLiteStatus AddConv2D() { return Add(); }
  TfLiteStatus AddDepthwiseConv2D() { return Add(); }
  TfLiteStatus AddMean() { return Add(); }
  TfLiteStatus AddReshape() { return Add(); }

 private:
  TfLiteStatus Add() { return used_++ < tOpCount ? kTfLiteOk : kTfLiteError; }
  unsigned int used_ = 0;
};
}  // namespace tflite
#endif
