// The networks of one pack while they train: their parameters, which of the lanes are wanted, and where a network had to stop.
#pragma once

#include "shoal/loss.hpp"
#include "shoal/record.hpp"
#include "shoal/start.hpp"
#include "shoal/task.hpp"

#include <optional>

namespace shoal {

// Everything that one call trains, but for the method: shared by all threads, changed by none.
template <class T>
struct Run {
    Network network;
    Task<T> task;
    Loss loss;
    Start start;
    Record<T> record;
    std::int64_t networks, first;  // how many, and the index of the first
    std::uint64_t seed;
    Penalty penalty = {};
    std::optional<Task<T>> test = {};  // measured, not learnt
};

template <AnyLanes V>
class Cohort {
  public:
    using T = typename V::Scalar;
    static constexpr int L = V::count;

    explicit Cohort(const Run<T>& run) : parameters(run.network.parameters), run_(run), start_(run.network.parameters) {}

    // Draws the starts of the pack whose first network stands at `position`. Lanes beyond the last network hold a copy of it, which nobody reads.
    void begin(std::int64_t position) {
        lanes.position = position;
        lanes.used = int(std::min<std::int64_t>(L, run_.networks - position));
        for (int lane = 0; lane < L; ++lane) {
            const std::int64_t network = position + std::min(lane, lanes.used - 1);
            run_.start.draw(run_.network, run_.seed, run_.first + network, network, start_.data());
            for (int n = 0; n < run_.network.parameters; ++n) parameters.lane(n, lane) = T(start_[n]);
            lanes.status[lane] = Status::ok;
            lanes.stopped_at[lane] = -1;
        }
        V check = 0;
        for (int n = 0; n < run_.network.parameters; ++n) check = gather_not_finite(check, parameters[n]);
        mark(check, 0);
    }

    // Marks the lanes whose gathered check is not zero as diverged. Their numbers stay not finite by themselves, and no other lane reads them.
    void mark(V check, std::int64_t step) {
        if (!any(check)) return;
        alignas(64) T gathered[L];
        check.store(gathered);
        for (int lane = 0; lane < L; ++lane)
            if (gathered[lane] != 0) stop(lane, Status::diverged, step);
    }

    void stop(int lane, Status status, std::int64_t step) {
        if (lanes.status[lane] != Status::ok) return;
        lanes.status[lane] = status;
        lanes.stopped_at[lane] = step;
    }

    Pack<V> parameters;
    PackLanes<V> lanes;

  private:
    const Run<T>& run_;
    std::vector<double> start_;
};

}  // namespace shoal
