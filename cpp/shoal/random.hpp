// Counter-based draws: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, SC11) with key = seed and counter = (network, tensor, pair of elements).
//
// The initial weights of a network depend on (seed, network index) alone, not on other draws or on the thread.
#pragma once

#include "shoal/elementary.hpp"

#include <array>
#include <cmath>
#include <cstdint>

namespace shoal {

using Counter = std::array<std::uint32_t, 4>;

// Ten rounds of Philox 4x32.
inline Counter philox(Counter counter, std::array<std::uint32_t, 2> key) {
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t a = std::uint64_t(0xD2511F53u) * counter[0], b = std::uint64_t(0xCD9E8D57u) * counter[2];
        counter = {std::uint32_t(b >> 32) ^ counter[1] ^ key[0], std::uint32_t(b), std::uint32_t(a >> 32) ^ counter[3] ^ key[1], std::uint32_t(a)};
        key[0] += 0x9E3779B9u;
        key[1] += 0xBB67AE85u;
    }
    return counter;
}

// Fills `numbers` with independent N(0, 1) draws for one tensor of one network (Box-Muller: counter j gives elements 2j and 2j + 1).
inline void draw_normals(std::uint64_t seed, std::uint64_t network, std::uint32_t tensor, std::int64_t count, double* numbers) {
    using V = Lanes<double>;
    const std::array<std::uint32_t, 2> key{std::uint32_t(seed), std::uint32_t(seed >> 32)};
    for (std::int64_t first = 0; first < count; first += 2 * V::count) {
        alignas(64) double radius[V::count], turn[V::count], even[V::count], odd[V::count];
        for (int lane = 0; lane < V::count; ++lane) {
            const std::uint32_t pair = std::uint32_t(first / 2 + lane);
            const Counter word = philox({std::uint32_t(network), std::uint32_t(network >> 32), tensor, pair}, key);
            const std::uint64_t a = (std::uint64_t(word[0]) << 32 | word[1]) >> 11, b = (std::uint64_t(word[2]) << 32 | word[3]) >> 11;
            radius[lane] = double(a + 1) * 0x1p-53;  // in (0, 1]
            turn[lane] = double(b) * 0x1p-53;        // in [0, 1)
        }
        V sine, cosine;
        sincos_turn(V::load(turn), sine, cosine);
        log(V::load(radius)).store(radius);
        for (int lane = 0; lane < V::count; ++lane) radius[lane] = std::sqrt(-2.0 * radius[lane]);
        (V::load(radius) * cosine).store(even);
        (V::load(radius) * sine).store(odd);
        for (int lane = 0; lane < V::count && first + 2 * lane < count; ++lane) {
            numbers[first + 2 * lane] = even[lane];
            if (first + 2 * lane + 1 < count) numbers[first + 2 * lane + 1] = odd[lane];
        }
    }
}

}  // namespace shoal
