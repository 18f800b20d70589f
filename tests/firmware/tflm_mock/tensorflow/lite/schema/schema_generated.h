#ifndef MOCK_SCHEMA_H
#define MOCK_SCHEMA_H
#include <cstdint>

namespace tflite {
struct Model {
  uint32_t version() const { return 3; }
};
inline const Model *GetModel(const void *bytes) { return static_cast<const Model *>(bytes); }
}  // namespace tflite
#endif
