// What every test program needs: CHECK counts and prints failures; main calls `run_tests` if the CPU has the instructions of this build.
#pragma once

#include <cstdio>

inline int failures = 0;

// Prints only the first 20 failures of a program; all of them count.
#define CHECK(condition, ...)                                                   \
    do {                                                                        \
        if (!(condition) && ++failures <= 20) {                                 \
            std::printf("%s:%d: not so: %s: ", __FILE__, __LINE__, #condition); \
            std::printf(__VA_ARGS__);                                           \
            std::printf("\n");                                                  \
        }                                                                       \
    } while (false)

[[gnu::noinline]] void run_tests();

int main() {
#if defined(__AVX512F__)
    const char needed[] = "avx512f, avx512dq, avx512vl, avx512bw";
    const bool runs =
        __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
#elif defined(__AVX2__)
    const char needed[] = "avx2, fma";
    const bool runs = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    const char needed[] = "";
    const bool runs = true;
#endif
    if (!runs) return std::printf("not supported by this CPU: %s\n", needed), 77;
    run_tests();
    return std::printf("%d failures\n", failures), failures != 0;
}
