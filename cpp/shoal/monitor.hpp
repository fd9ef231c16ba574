// Messages between the training threads and the calling thread: stop, and progress.
#pragma once

#include <atomic>
#include <cstdint>

namespace shoal {

class Progress {
  public:
    void stop() { stopped_.store(true, std::memory_order_relaxed); }
    bool stopped() const { return stopped_.load(std::memory_order_relaxed); }
    void add(std::int64_t network_steps) { done_.fetch_add(network_steps, std::memory_order_relaxed); }
    std::int64_t done() const { return done_.load(std::memory_order_relaxed); }

  private:
    // On cache lines of their own: all threads read the first at each block of samples, and write the second.
    alignas(64) std::atomic<bool> stopped_{false};
    alignas(64) std::atomic<std::int64_t> done_{0};
};

// One thread's view. It counts by itself and reports in batches, so that two threads seldom touch the same cache line.
class Monitor {
  public:
    explicit Monitor(Progress& progress) : progress_(progress) {}
    ~Monitor() { report(); }
    Monitor(const Monitor&) = delete;
    Monitor& operator=(const Monitor&) = delete;

    bool stopped() const { return progress_.stopped(); }
    void stepped(std::int64_t networks) {
        pending_ += networks;
        if (++steps_ == 256) report();
    }
    void report() {
        progress_.add(pending_);
        pending_ = steps_ = 0;
    }

  private:
    Progress& progress_;
    std::int64_t pending_ = 0;
    int steps_ = 0;
};

}  // namespace shoal
