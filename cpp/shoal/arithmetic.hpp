// The floating-point mode on which bits depend: round to nearest, keep subnormals, trap nothing, whatever the caller's thread has set.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <xmmintrin.h>
#elif !defined(__aarch64__)
#include <cfenv>
#endif

namespace shoal {

// Sets this thread's mode, and restores the previous one at the end of its scope.
class Arithmetic {
  public:
#if defined(__SSE2__)
    using Mode = std::uint32_t;  // MXCSR: rounding, flush-to-zero, denormals-are-zero, masks of traps
    static constexpr Mode standard = 0x1f80;
#elif defined(__aarch64__)
    using Mode = std::uint64_t;  // FPCR, likewise
    static constexpr Mode standard = 0;
#else
    using Mode = int;
    static constexpr Mode standard = FE_TONEAREST;
#endif

    explicit Arithmetic(Mode mode = standard) : before_(now()) { set(mode); }
    ~Arithmetic() { set(before_); }
    Arithmetic(const Arithmetic&) = delete;
    Arithmetic& operator=(const Arithmetic&) = delete;

    Mode before() const { return before_; }

  private:
    // Neither is inlined, and the compiler moves no memory access across a change, so that arithmetic runs in the intended mode.
    [[gnu::noinline]] static Mode now() {
#if defined(__SSE2__)
        return _mm_getcsr();
#elif defined(__aarch64__)
        Mode mode;
        asm volatile("mrs %0, fpcr" : "=r"(mode) : : "memory");
        return mode;
#else
        return std::fegetround();
#endif
    }
    [[gnu::noinline]] static void set(Mode mode) {
#if defined(__SSE2__)
        _mm_setcsr(mode);
#elif defined(__aarch64__)
        asm volatile("msr fpcr, %0" : : "r"(mode) : "memory");
#else
        std::fesetround(mode);
#endif
        asm volatile("" : : : "memory");
    }

    const Mode before_;
};

}  // namespace shoal
