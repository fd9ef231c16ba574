// Full-batch gradient descent with a fixed rate: theta <- theta - rate grad, one pack of L networks from its start to its last step.
#pragma once

#include "shoal/measure.hpp"
#include "shoal/monitor.hpp"
#include "shoal/start.hpp"

namespace shoal {

// Everything that one call trains: shared by all threads, changed by none.
template <class T>
struct Run {
    Network network;
    Task<T> task;
    Loss loss;
    Start start;
    T rate;
    std::int64_t steps;
    Record<T> record;
    std::int64_t networks, first;  // how many, and the index of the first
    std::uint64_t seed;
};

// One thread's workspace; nothing is allocated after its construction.
template <AnyLanes V>
class Descent {
  public:
    using T = typename V::Scalar;
    static constexpr int L = V::count;

    explicit Descent(const Run<T>& run)
        : run_(run),
          parameters_(run.network.parameters),
          start_(run.network.parameters),
          gradient_(run.network, run.task, run.loss),
          measure_(run.network, run.task, run.loss, run.record) {}

    // Trains the pack whose first network stands at `position`; returns early when the monitor says stop.
    void train(std::int64_t position, Monitor& monitor) {
        begin(position);
        std::size_t time = 0;
        const auto& steps = run_.record.steps;
        Move move{parameters_.at(0), V(-run_.rate), V(0)};
        for (std::int64_t step = 0;; ++step) {
            const bool recorded = time < steps.size() && steps[time] == step, last = step == run_.steps;
            const bool looked_at = recorded && run_.record.looks_at_samples();
            if (recorded) measure_.clear(std::int64_t(time));
            const auto see = [&](int first, int count, const Gradient<V>& pass) {
                if (looked_at) measure_.see(first, count, pass);
                return !monitor.stopped();
            };
            if (recorded) measure_.write_parameters(parameters_, diverged_at_);  // while they are this step's
            if (last) {
                if (looked_at && !gradient_.forward_only(parameters_, see)) return;
                if (recorded) measure_.write_samples(diverged_at_);
                break;
            }
            if (!gradient_(parameters_, see, move)) return;
            if (recorded) measure_.write_samples(diverged_at_), ++time;
            if (any(move.not_finite)) mark(move.not_finite, step + 1);
            monitor.stepped(used_);
        }
        measure_.write_end(parameters_, diverged_at_);
    }

  private:
    // theta <- theta - rate grad, and a look at whether it is still finite.
    struct Move {
        T* parameters;
        V minus_rate, not_finite;

        EIGEN_ALWAYS_INLINE void operator()(int number, V parameter, V slope) {
            const V moved = fma(minus_rate, slope, parameter);
            moved.store(parameters + std::int64_t(number) * V::count);
            not_finite = gather_not_finite(not_finite, moved);
        }
    };

    // Draws the starts. Lanes beyond the last network train a copy of it, which nobody reads.
    void begin(std::int64_t position) {
        used_ = int(std::min<std::int64_t>(L, run_.networks - position));
        measure_.begin(position, used_);
        for (int lane = 0; lane < L; ++lane) {
            const std::int64_t network = position + std::min(lane, used_ - 1);
            run_.start.draw(run_.network, run_.seed, run_.first + network, network, start_.data());
            for (int n = 0; n < run_.network.parameters; ++n) parameters_.lane(n, lane) = T(start_[n]);
            diverged_at_[lane] = -1;
        }
        V check = 0;
        for (int n = 0; n < run_.network.parameters; ++n) check = gather_not_finite(check, parameters_[n]);
        if (any(check)) mark(check, 0);
    }

    // Marks the lanes that have just diverged. Their numbers stay not finite by themselves, and no other lane reads them.
    void mark(V check, std::int64_t step) {
        alignas(64) T lanes[L];
        check.store(lanes);
        for (int lane = 0; lane < L; ++lane)
            if (lanes[lane] != 0 && diverged_at_[lane] < 0) diverged_at_[lane] = step;
    }

    const Run<T>& run_;
    Pack<V> parameters_;
    std::vector<double> start_;
    Gradient<V> gradient_;
    Measure<V> measure_;
    std::int64_t diverged_at_[L];
    int used_ = 0;
};

}  // namespace shoal
