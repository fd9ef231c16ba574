// Full-batch gradient descent with a fixed rate: theta <- theta - rate grad, one pack of L networks from its start to its last step.
#pragma once

#include "shoal/recorder.hpp"

namespace shoal {

template <AnyLanes V>
class Descent;

template <class T>
struct DescentMethod {
    T rate;
    std::int64_t steps;
    std::vector<std::int64_t> record_steps;  // increasing, 0..steps

    template <AnyLanes V>
    using Trainer = Descent<V>;
};

// One thread's workspace; nothing is allocated after its construction.
template <AnyLanes V>
class Descent {
  public:
    using T = typename V::Scalar;

    Descent(const Run<T>& run, const DescentMethod<T>& method)
        : run_(run), method_(method), cohort_(run), gradient_(run.network, run.task, run.loss, run.penalty), recorder_(run) {}

    // Trains the pack whose first network stands at `position`; returns early when the monitor says stop.
    void train(std::int64_t position, Monitor& monitor) {
        cohort_.begin(position);
        Pack<V>& parameters = cohort_.parameters;
        if (!gradient_.centre(parameters, [&] { return !monitor.stopped(); }) || !recorder_.centre(parameters, monitor)) return;
        Move move{parameters.at(0), -method_.rate, V(0)};
        std::size_t record = 0;
        for (std::int64_t step = 0;; ++step) {
            const bool recorded = record < method_.record_steps.size() && method_.record_steps[record] == step, last = step == method_.steps;
            const bool looked_at = recorded && run_.record.looks_at_samples();
            std::int64_t times[V::count];
            if (recorded) std::fill_n(times, V::count, std::int64_t(record++));
            if (last) {
                if (recorded && !recorder_.look(gradient_, cohort_.lanes, times, parameters, monitor)) return;
                break;
            }
            if (recorded && !recorder_.begin(cohort_.lanes, times, parameters, monitor)) return;  // while they are this step's
            const auto see = [&](int first, int count, const Gradient<V>& pass) {
                if (looked_at) recorder_.see(first, count, pass);
                return !monitor.stopped();
            };
            if (!gradient_(parameters, see, move)) return;
            if (recorded) recorder_.end();
            cohort_.mark(move.not_finite, step + 1);
            monitor.stepped(cohort_.lanes.used);
        }
        recorder_.write_end(cohort_.lanes, parameters);
    }

  private:
    // theta <- theta - rate grad, and a look at whether it is still finite.
    struct Move {
        T *parameters, minus_rate;
        V not_finite;

        EIGEN_ALWAYS_INLINE void operator()(int number, V parameter, V slope) {
            const V moved = fma(V(minus_rate), slope, parameter);
            moved.store(parameters + std::int64_t(number) * V::count);
            not_finite = gather_not_finite(not_finite, moved);
        }
    };

    const Run<T>& run_;
    const DescentMethod<T>& method_;
    Cohort<V> cohort_;
    Gradient<V> gradient_;
    Recorder<V> recorder_;
};

}  // namespace shoal
