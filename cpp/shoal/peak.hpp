// The rate of fused multiply-adds that this machine sustains: the reference for the speed of the kernels.
#pragma once

#include "shoal/lanes.hpp"
#include "shoal/schedule.hpp"

#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

namespace shoal {

// Returns the GFLOP/s of `threads` threads, at least one, that only do independent multiply-adds in registers for about `seconds`.
template <class T>
double fma_peak(int threads, double seconds) {
    using Clock = std::chrono::steady_clock;
    constexpr int chains = 12, batch = 4096;
    std::atomic<int> awaited{threads};
    std::vector<double> rates(threads);
    std::vector<T> sink(threads);
    const auto work = [&](int t) {
        Lanes<T> sum[chains];
        SHOAL_UNROLL for (int c = 0; c < chains; ++c) sum[c] = T(c + 1);
        const Lanes<T> factor = T(0.999), term = T(1e-3);
        awaited.fetch_sub(1);
        while (awaited.load() > 0) std::this_thread::yield();
        const auto begin = Clock::now();
        std::int64_t batches = 0;
        double elapsed = 0.0;
        while (elapsed < seconds) {
            for (int i = 0; i < batch; ++i) { SHOAL_UNROLL for (int c = 0; c < chains; ++c) sum[c] = fma(sum[c], factor, term); }
            ++batches;
            elapsed = std::chrono::duration<double>(Clock::now() - begin).count();
        }
        rates[t] = 2.0 * chains * batch * Lanes<T>::count * double(batches) / elapsed * 1e-9;
        Lanes<T> all = sum[0];
        SHOAL_UNROLL for (int c = 0; c < chains; ++c) all = all + sum[c];
        alignas(64) T lanes[Lanes<T>::count];
        all.store(lanes);
        sink[t] = lanes[0];
    };
    Progress progress;
    run_threads(threads, progress, work, [&] { awaited.fetch_sub(1); }, [](std::int64_t) {});
    volatile T keep = std::accumulate(sink.begin(), sink.end(), T(0));
    (void)keep;
    return std::accumulate(rates.begin(), rates.end(), 0.0);
}

}  // namespace shoal
