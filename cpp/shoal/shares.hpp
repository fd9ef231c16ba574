// How the samples of a training are cut into shares, each with a gradient of its own, which are added up in their order.
//
// The cut depends on the network and on the number of samples alone, so that every engine has the same sums. Networks whose step takes less than some tens of
// microseconds have one share.
#pragma once

#include "shoal/network.hpp"

#include <algorithm>
#include <cstdint>

namespace shoal {

constexpr int least_share_samples = 128, most_shares = 32;
constexpr std::int64_t least_shared_work = std::int64_t(1) << 20;     // parameters x samples of a step that is cut
constexpr std::int64_t most_share_numbers = std::int64_t(1) << 26;  // of the gradients of all shares, if there are more than four

// In how many shares the samples are cut.
inline int shares(const Network& network, int samples) {
    if (std::int64_t(samples) * network.parameters < least_shared_work) return 1;
    const std::int64_t affordable = std::max<std::int64_t>(4, most_share_numbers / std::max(network.parameters, 1));
    const std::int64_t wanted = (std::int64_t(samples) + least_share_samples - 1) / least_share_samples;
    return int(std::min<std::int64_t>({wanted, affordable, most_shares}));
}

// The samples of one share, `samples` of them from `first` on.
struct Share {
    int first, samples;

    static Share of(int samples, int shares, int share) {
        const int each = samples / shares, over = samples % shares;
        return {share * each + std::min(share, over), each + (share < over)};
    }
};

}  // namespace shoal
