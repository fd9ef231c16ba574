// What tests of products need to compare them with plain loops.
#pragma once

#include "shoal/pack.hpp"

#include <cmath>

namespace plain {

// a b + c as the lanes compute it: fused if the machine can.
template <class T>
T multiply_add(T a, T b, T c) {
#if defined(__FMA__) || defined(__aarch64__)
    return std::fma(a, b, c);
#else
    return a * b + c;
#endif
}

// `count` packs of numbers of either sign; no two operands with seeds of their own share one.
template <shoal::AnyLanes V>
shoal::Pack<V> numbers(std::int64_t count, std::uint32_t seed) {
    shoal::Pack<V> pack(count);
    for (std::int64_t n = 0; n < count * V::count; ++n) {
        seed = seed * 1664525u + 1013904223u;
        pack.at(0)[n] = typename V::Scalar(double(seed >> 8) * 0x1p-23 - 1.0);
    }
    return pack;
}

}  // namespace plain
