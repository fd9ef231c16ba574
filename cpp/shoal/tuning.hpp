// What the cut of a training may depend on besides network and samples. It changes the speed, never the bits.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <cstdint>

namespace shoal {

struct Tuning {
    std::int64_t nearest_cache, second_cache;  // bytes of the L1 data cache and of the L2 cache of one core
    bool fixed_shapes = true;                  // whether the sizes in shapes.hpp use their own instances
    bool keeps_values = false;                 // whether values of units are kept where gates could be: a flow multiplies them by the gates that it holds

    // Eigen asks the CPU once, and guesses if the CPU does not say. The results are clamped because virtual machines may report anything.
    static const Tuning& of_this_machine() {
        static const Tuning found{std::clamp<std::int64_t>(Eigen::l1CacheSize(), 16 * 1024, 256 * 1024),
                                  std::clamp<std::int64_t>(Eigen::l2CacheSize(), 128 * 1024, 4 * 1024 * 1024)};
        return found;
    }

    Tuning keeping_values() const {
        Tuning kept = *this;
        kept.keeps_values = true;
        return kept;
    }

    // Bytes that the values of a block of samples may take: the forward pass writes them, the backward pass reads them. Measured with caches of 32 and 512 KiB,
    // all sizes from 56 to 112 KiB are equally good; smaller blocks have more ends of sums and wait more for the cache. In packs of tiny networks a value
    // serves few multiply-adds, and 12 to 40 KiB are best.
    std::int64_t block_bytes(bool tiny) const { return tiny ? nearest_cache : std::min(second_cache / 8, 4 * nearest_cache); }
};

}  // namespace shoal
