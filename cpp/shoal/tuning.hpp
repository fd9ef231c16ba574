// What the cut of a training may depend on beside network and samples. It changes the speed, never the bits.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <cstdint>

namespace shoal {

struct Tuning {
    std::int64_t nearest_cache, second_cache;  // bytes that one core has of L1 (data) and L2
    bool fixed_shapes = true;                  // whether the sizes of shapes.hpp take their own instances

    // Asked of the CPU once, by Eigen, which guesses where the CPU does not tell. Within bounds, because virtual machines may tell anything.
    static const Tuning& of_this_machine() {
        static const Tuning found{std::clamp<std::int64_t>(Eigen::l1CacheSize(), 16 * 1024, 256 * 1024),
                                  std::clamp<std::int64_t>(Eigen::l2CacheSize(), 128 * 1024, 4 * 1024 * 1024)};
        return found;
    }

    // Bytes that the values of a block of samples may take, which the forward pass writes and the backward pass reads. Measured with 32 and 512 KiB: from 56 to
    // 112 KiB all are as good; less has more ends of sums, more waits for the cache. In packs of tiny networks a value serves few multiply-adds: there 12 to 40
    // KiB are best.
    std::int64_t block_bytes(bool tiny) const { return tiny ? nearest_cache : std::min(second_cache / 8, 4 * nearest_cache); }

    // Bytes of the lanes that a tile of a wide network walks through again and again.
    std::int64_t panel_bytes() const { return nearest_cache * 5 / 8; }
};

}  // namespace shoal
