// The networks of one pack while they train: their parameters, the network in each lane, and the step at which a network had to stop.
#pragma once

#include "shoal/loss.hpp"
#include "shoal/record.hpp"
#include "shoal/start.hpp"
#include "shoal/task.hpp"
#include "shoal/tuning.hpp"

#include <cmath>
#include <optional>

namespace shoal {

// Everything that defines one call of training except the method. All threads share it, and none changes it.
template <class T>
struct Run {
    Network network;
    Task<T> task;
    Loss loss;
    Start start;
    Record<T> record;
    std::int64_t networks, first;  // number of networks, and the index of the first
    std::uint64_t seed;
    Penalty penalty = {};
    std::optional<Task<T>> test = {};  // samples that are measured, not learnt
    std::optional<Span> span = {};     // span of the inputs (span.hpp), in whose coordinates network and tasks are given; requires no weight decay
    Tuning tuning = Tuning::of_this_machine();
    std::int64_t position = 0;         // of the first network among the given explicit weights and rates
    std::optional<Start> resumed = {};  // explicit weights from which training resumes; outputs of centred networks and distances still count from `start`
};

template <AnyLanes V>
class Cohort {
  public:
    using T = typename V::Scalar;
    static constexpr int L = V::count;

    explicit Cohort(const Run<T>& run) : parameters(run.network.parameters), run_(run), drawing_(run.network, run.span) {
        lanes.unmet = Unmet<V>(run.network, run.span, run.record.keeps_weights());
        if (run.record.looks_at_start()) lanes.initial = Pack<V>(run.network.parameters);
    }

    // Draws the initial weights of one network into a lane.
    void begin_lane(int lane, std::int64_t network) {
        lanes.network[lane] = network;
        lanes.status[lane] = Status::ok;
        lanes.stopped_at[lane] = -1;
        take(lane, run_.start);
        for (int n = 0; run_.record.looks_at_start() && n < run_.network.parameters; ++n) lanes.initial.lane(n, lane) = parameters.lane(n, lane);
    }

    // Sets a lane to the weights from which training resumes, once its outputs at initialisation are known.
    void resume_lane(int lane) {
        if (run_.resumed) take(lane, *run_.resumed);
    }

    // Sets a lane of `velocity` to that from which training resumes, or to 0.
    void begin_velocity(int lane, const std::optional<Start>& given, Pack<V>& velocity) {
        if (given) drawing_.draw(*given, run_.seed, run_.first + lanes.network[lane], run_.position + lanes.network[lane]);
        for (int n = 0; n < run_.network.parameters; ++n) velocity.lane(n, lane) = given ? T(drawing_.trained()[n]) : T(0);
    }

    // Empties a lane: its parameters become 0.
    void leave(int lane) {
        lanes.network[lane] = -1;
        for (int n = 0; n < run_.network.parameters; ++n) parameters.lane(n, lane) = T(0);
    }

    void stop(int lane, Status status, std::int64_t step) {
        if (lanes.status[lane] != Status::ok) return;
        lanes.status[lane] = status;
        lanes.stopped_at[lane] = step;
    }

    Pack<V> parameters;
    PackLanes<V> lanes;

  private:
    void take(int lane, const Start& start) {
        const std::int64_t network = lanes.network[lane];
        const double largest = drawing_.draw(start, run_.seed, run_.first + network, run_.position + network);
        for (int n = 0; n < run_.network.parameters; ++n) parameters.lane(n, lane) = T(drawing_.trained()[n]);
        lanes.unmet.take(lane, drawing_);
        if (!std::isfinite(T(largest))) stop(lane, Status::diverged, 0);
    }

    const Run<T>& run_;
    Drawing drawing_;
};

}  // namespace shoal
