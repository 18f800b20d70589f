/*
 * TFLite Micro's headers with the settings that its library was built with. Include this header instead of them, first.
 *
 * TF_LITE_STATIC_MEMORY removes fields from TFLite Micro's structures. Its own make and ESP-IDF's component build the
 * library with it; code compiled without it then reads the wrong fields and ends in a hard fault. If other files of
 * yours include TFLite Micro, put -DTF_LITE_STATIC_MEMORY on the command line of all C++ files.
 * On Arduino and Zephyr the build compiles library and application with the same settings, so nothing is defined here.
 */
#ifndef ANYECG_TFLM_H
#define ANYECG_TFLM_H

#ifndef __cplusplus
#error "anyecg_tflm.h is for C++: TFLite Micro has no C interface."
#endif

#if defined(__has_include)
#if !__has_include("tensorflow/lite/micro/micro_interpreter.h")
#error "TFLite Micro is not on the include path: see README.md. check/main.c checks the arrays without it."
#endif
#endif

#if !defined(TF_LITE_STATIC_MEMORY) && !defined(ARDUINO) && !defined(__ZEPHYR__)
#if defined(TENSORFLOW_LITE_C_COMMON_H_) || defined(TENSORFLOW_LITE_CORE_C_COMMON_H_) || \
    defined(TENSORFLOW_LITE_MICRO_MICRO_INTERPRETER_H_) || defined(TENSORFLOW_LITE_MICRO_MICRO_COMMON_H_)
#error "A header of TFLite Micro was included before anyecg_tflm.h without TF_LITE_STATIC_MEMORY, but the library is built with it: compile every C++ file with -DTF_LITE_STATIC_MEMORY."
#endif
#define TF_LITE_STATIC_MEMORY 1
#endif

/* CMSIS_NN decides which kernels are linked, and must agree with the library. */
#if defined(CONFIG_TENSORFLOW_LITE_MICRO_CMSIS_NN_KERNELS) && !defined(CMSIS_NN)
#define CMSIS_NN 1
#endif
#if defined(__ARM_ARCH_PROFILE) && !defined(ARDUINO) && !defined(__ZEPHYR__)
#if __ARM_ARCH_PROFILE == 'M' && !defined(CMSIS_NN) && !defined(ANYECG_REFERENCE_KERNELS)
#error "Compile with -DCMSIS_NN if the TFLite Micro library was built with OPTIMIZED_KERNEL_DIR=cmsis_nn, else with -DANYECG_REFERENCE_KERNELS: it decides which kernels are linked."
#endif
#endif

#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

#ifdef TF_LITE_STATIC_MEMORY
namespace anyecg {
/* Whether a tensor has a field that only the layout without TF_LITE_STATIC_MEMORY has. */
template <typename Tensor>
constexpr bool HasDelegate(decltype(Tensor::delegate) * /* exists */) {
  return true;
}
template <typename Tensor>
constexpr bool HasDelegate(...) {
  return false;
}
}  // namespace anyecg
static_assert(!anyecg::HasDelegate<TfLiteTensor>(nullptr),
              "TFLite Micro's headers were read without TF_LITE_STATIC_MEMORY, but the library is built with it: "
              "compile every C++ file with -DTF_LITE_STATIC_MEMORY.");
#endif

#endif
