// The networks that wait for a lane, or cells of them that wait for a thread. Threads take them in order, a few at a time.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace shoal {

class Queue {
  public:
    struct Some {
        std::int64_t first;
        int count;  // 0 when none is left
    };

    explicit Queue(std::int64_t networks) : networks_(networks) {}

    Some take(int most) {
        if (next_.load(std::memory_order_relaxed) >= networks_) return {networks_, 0};  // so that requests to an empty queue do not overflow the counter
        const std::int64_t first = next_.fetch_add(most, std::memory_order_relaxed);
        return {first, int(std::clamp<std::int64_t>(networks_ - first, 0, most))};
    }

    // Takes the next few for one of `takers`: `most` at first, then fewer, at last one, so that all takers end together.
    Some take_share(int most, int takers) {
        std::int64_t first = next_.load(std::memory_order_relaxed), count = 0;
        do {
            if (first >= networks_) return {networks_, 0};
            count = std::clamp<std::int64_t>((networks_ - first) / (2 * takers), 1, most);
        } while (!next_.compare_exchange_weak(first, first + count, std::memory_order_relaxed));
        return {first, int(count)};
    }

  private:
    const std::int64_t networks_;
    std::atomic<std::int64_t> next_{0};
};

}  // namespace shoal
