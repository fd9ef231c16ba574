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
template <class T>
class Descent {
  public:
    static constexpr int L = Lanes<T>::count;

    explicit Descent(const Run<T>& run)
        : run_(run),
          parameters_(run.network.parameters),
          slope_(run.network.parameters),
          start_(run.network.parameters),
          gradient_(run.network, run.task, run.loss),
          measure_(run.network, run.task, run.loss, run.record) {}

    // Trains the pack whose first network stands at `position`; returns early when the monitor says stop.
    void train(std::int64_t position, Monitor& monitor) {
        begin(position);
        std::size_t time = 0;
        const auto& steps = run_.record.steps;
        for (std::int64_t step = 0;; ++step) {
            const bool recorded = time < steps.size() && steps[time] == step, last = step == run_.steps;
            const bool looked_at = recorded && run_.record.looks_at_samples();
            if (recorded) measure_.clear(std::int64_t(time));
            const auto see = [&](int first, int count, const Gradient<T>& pass) {
                if (looked_at) measure_.see(first, count, pass);
                return !monitor.stopped();
            };
            const bool whole = last ? !looked_at || gradient_.forward_only(parameters_, see) : gradient_(parameters_, slope_, see);
            if (!whole) return;
            if (recorded) measure_.write(parameters_, diverged_at_), ++time;
            if (last) break;
            update(step + 1);
            monitor.stepped(used_);
        }
        measure_.write_weights(parameters_, diverged_at_);
    }

  private:
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
        Lanes<T> check = T(0);
        for (int n = 0; n < run_.network.parameters; ++n) check = fma(parameters_[n], Lanes<T>(T(0)), check);
        if (any_nan(check)) mark(check, 0);
    }

    void update(std::int64_t step) {
        constexpr int chains = 4;
        const Lanes<T> rate = -run_.rate, zero = T(0);
        Lanes<T> check[chains] = {zero, zero, zero, zero};
        const auto move = [&](int n, int chain) __attribute__((always_inline)) {
            const Lanes<T> moved = fma(rate, slope_[n], parameters_[n]);
            moved.store(parameters_.at(n));
            check[chain] = fma(moved, zero, check[chain]);  // 0 while finite, NaN ever after
        };
        int n = 0;
        for (; n + chains <= run_.network.parameters; n += chains) {
            SHOAL_UNROLL for (int chain = 0; chain < chains; ++chain) move(n + chain, chain);
        }
        for (; n < run_.network.parameters; ++n) move(n, 0);
        const Lanes<T> all = (check[0] + check[1]) + (check[2] + check[3]);
        if (any_nan(all)) mark(all, step);
    }

    // Marks the lanes that have just diverged. Their numbers stay not finite by themselves, and no other lane reads them.
    void mark(Lanes<T> check, std::int64_t step) {
        alignas(64) T lanes[L];
        check.store(lanes);
        for (int lane = 0; lane < L; ++lane)
            if (lanes[lane] != lanes[lane] && diverged_at_[lane] < 0) diverged_at_[lane] = step;
    }

    const Run<T>& run_;
    Pack<T> parameters_, slope_;
    std::vector<double> start_;
    Gradient<T> gradient_;
    Measure<T> measure_;
    std::int64_t diverged_at_[L];
    int used_ = 0;
};

}  // namespace shoal
