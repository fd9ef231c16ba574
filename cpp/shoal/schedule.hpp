// Distributes networks over threads: std::thread for the length of one call, a queue, and a caller that polls for interrupts and progress.
#pragma once

#include "shoal/arithmetic.hpp"
#include "shoal/monitor.hpp"
#include "shoal/queue.hpp"

#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace shoal {

// Runs `body(0)` ... `body(wanted - 1)`, each on a thread of its own, in the standard arithmetic. Calls `missing()` for each thread that the system did not
// start; at least one has to start. The calling thread calls `poll(done)` every 50 ms and once at the end. If it or a body throws, `progress` says stop, and
// the first exception reaches the caller once all threads have ended.
inline void run_threads(int wanted, Progress& progress, const std::function<void(int)>& body, const std::function<void()>& missing,
                        const std::function<void(std::int64_t)>& poll) {
    std::mutex mutex;
    std::condition_variable ended;
    int running = 0;
    std::exception_ptr failure;

    const auto guarded = [&](int worker) {
        try {
            const Arithmetic arithmetic;
            body(worker);
        } catch (...) {
            progress.stop();
            const std::lock_guard lock(mutex);
            if (!failure) failure = std::current_exception();
        }
        const std::lock_guard lock(mutex);
        --running;
        ended.notify_one();
    };

    std::vector<std::thread> workers;
    {
        std::unique_lock lock(mutex);
        try {
            for (int t = 0; t < wanted; ++t) {
                workers.emplace_back(guarded, t);
                ++running;
            }
        } catch (...) {  // the system has no more threads: continue with those that started, if any
            if (workers.empty()) throw;
            for (int t = int(workers.size()); t < wanted; ++t) missing();
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

// Lets `threads` workers take networks 0..networks-1 from one queue, up to `together` at a time. `make_worker()` is called once on each thread and returns
// `work(queue, monitor)`, which ends when the queue is empty. If `poll` throws, all workers stop within a block of samples.
inline void work_through(std::int64_t networks, int together, int threads, const std::function<std::function<void(Queue&, Monitor&)>()>& make_worker,
                         const std::function<void(std::int64_t)>& poll) {
    Progress progress;
    Queue queue(networks);
    const auto body = [&](int) {
        const auto work = make_worker();
        Monitor monitor(progress);
        work(queue, monitor);
    };
    const std::int64_t packs = (networks + together - 1) / together;
    run_threads(int(std::min<std::int64_t>(std::max(threads, 1), packs)), progress, body, [] {}, poll);
}

// The same, one network at a time: `make_worker()` returns `work(network, monitor)`.
inline void schedule(std::int64_t networks, int threads, const std::function<std::function<void(std::int64_t, Monitor&)>()>& make_worker,
                     const std::function<void(std::int64_t)>& poll) {
    const auto make = [&]() -> std::function<void(Queue&, Monitor&)> {
        return [work = make_worker()](Queue& queue, Monitor& monitor) {
            for (Queue::Some next; !monitor.stopped() && (next = queue.take(1)).count > 0;) work(next.first, monitor);
        };
    };
    work_through(networks, 1, threads, make, poll);
}

}  // namespace shoal
