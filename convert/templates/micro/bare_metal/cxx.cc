/*
 * What TFLite Micro's C++ asks of a system. Without these lines the linker takes them from libstdc++, together with
 * exceptions and the demangler: over 60 KB of flash.
 */
#include <cstddef>

extern "C" {
void *__dso_handle = nullptr;
[[noreturn]] void __cxa_pure_virtual();
}

extern "C" void __cxa_pure_virtual() {
  for (;;) {
  }
}

/* TFLite Micro deletes nothing; its virtual destructors only name the function. */
void operator delete(void * /* block */) noexcept {}
void operator delete(void * /* block */, std::size_t /* size */) noexcept {}
