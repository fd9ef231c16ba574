// Packs to threads: std::thread for the length of one call, an atomic next-pack counter, and a caller that stays awake for interrupts and progress.
#pragma once

#include "shoal/monitor.hpp"

#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace shoal {

// Gives the packs 0..packs-1 to `threads` workers; `make_worker()` is called once on each thread and gives `work(pack, monitor)`. The calling thread calls
// `poll(done)` every 50 ms and once at the end; when it throws, all workers stop within a block of samples and the exception goes on to the caller.
inline void schedule(std::int64_t packs, int threads, const std::function<std::function<void(std::int64_t, Monitor&)>()>& make_worker,
                     const std::function<void(std::int64_t)>& poll) {
    Progress progress;
    std::atomic<std::int64_t> next{0};
    std::mutex mutex;
    std::condition_variable ended;
    int running = 0;
    std::exception_ptr failure;

    const auto body = [&] {
        try {
            const auto work = make_worker();
            Monitor monitor(progress);
            for (std::int64_t pack; !progress.stopped() && (pack = next.fetch_add(1, std::memory_order_relaxed)) < packs;) work(pack, monitor);
        } catch (...) {
            progress.stop();
            const std::lock_guard lock(mutex);
            if (!failure) failure = std::current_exception();
        }
        const std::lock_guard lock(mutex);
        --running;
        ended.notify_one();
    };

    const int wanted = int(std::min<std::int64_t>(std::max(threads, 1), packs));
    std::vector<std::thread> workers;
    {
        std::unique_lock lock(mutex);
        try {
            for (int t = 0; t < wanted; ++t) {
                workers.emplace_back(body);
                ++running;
            }
        } catch (...) {  // the system has no more threads: go on with those there are, if any
            if (workers.empty()) throw;
        }
        while (running > 0) {
            if (ended.wait_for(lock, std::chrono::milliseconds(50), [&] { return running == 0; })) break;
            lock.unlock();
            try {
                if (!progress.stopped()) poll(progress.done());
            } catch (...) {
                progress.stop();
                const std::lock_guard again(mutex);
                if (!failure) failure = std::current_exception();
            }
            lock.lock();
        }
    }
    for (auto& worker : workers) worker.join();
    if (failure) std::rethrow_exception(failure);
    poll(progress.done());
}

}  // namespace shoal
