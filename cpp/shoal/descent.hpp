// Full-batch gradient descent with a fixed rate per network: theta <- theta - rate grad, in L lanes at once, each network from its first to its last step.
//
// A step is a deterministic function of the parameters. A network that a step leaves unchanged to the bit never moves again, and all its later records equal
// the present one. So it leaves, and the next network of the queue takes its lane; the same holds for networks that diverge or meet a rule (stop.hpp). Each
// lane counts its own steps, from the time on the pack's clock at which its network came.
#pragma once

#include "shoal/queue.hpp"
#include "shoal/recorder.hpp"
#include "shoal/stop.hpp"

#include <bit>

namespace shoal {

template <AnyLanes V>
class Descent;

template <class T>
struct DescentMethod {
    std::vector<T> rates;  // one for all networks, or one per given network
    std::int64_t steps;
    std::vector<std::int64_t> record_steps;  // increasing, 0..steps
    StopRules stop = {};
    bool retire = true;  // whether networks that are done leave before their last step; changes the time, never a bit

    // Returns the rate of the network at this position among the given ones.
    T rate_of(std::int64_t position) const { return rates[rates.size() == 1 ? 0 : position]; }

    template <AnyLanes V>
    using Trainer = Descent<V>;
};

// One thread's workspace; nothing is allocated after its construction.
template <AnyLanes V>
class Descent {
  public:
    using T = typename V::Scalar;
    static constexpr int L = V::count;

    Descent(const Run<T>& run, const DescentMethod<T>& method)
        : run_(run),
          method_(method),
          cohort_(run),
          gradient_(run.network, run.task, run.loss, run.penalty, run.tuning),
          recorder_(run),
          stops_(run.network, run.task, run.loss, method.stop),
          period_(refill_period(run, method)) {}

    // Trains networks from the queue until it is empty or the monitor says stop.
    void train(Queue& queue, Monitor& monitor);

  private:
    // One step in `watch_every` also checks whether networks still move.
    static constexpr std::int64_t watch_every = 32;
    static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

    // theta <- theta - rate grad, with a check that theta is finite; a watchful step also checks whether it moved.
    template <bool watchful>
    struct Move {
        T* parameters;
        V minus_rate, not_finite = V(0), moved = V(0);

        EIGEN_ALWAYS_INLINE void operator()(int number, V parameter, V slope) {
            const V there = fma(minus_rate, slope, parameter);
            there.store(parameters + std::int64_t(number) * V::count);
            not_finite = gather_not_finite(not_finite, there);
            if constexpr (watchful) moved = gather_difference(moved, there, parameter);
        }
    };

    static std::int64_t refill_period(const Run<T>& run, const DescentMethod<T>& method);
    std::int64_t step_of(int lane) const { return clock_ - begun_[lane]; }
    template <bool watchful>
    bool step(Monitor& monitor);
    bool see(int first, int count, const Gradient<V>& pass, const Monitor& monitor);
    bool attend(Queue& queue, Monitor& monitor);
    bool finish(Monitor& monitor);
    bool fill(Queue& queue, Monitor& monitor);
    void leave(int lane);
    bool look(const std::int64_t (&times)[L], Monitor& monitor);
    bool begin_records(const Monitor& monitor);
    void end_records();
    std::int64_t next_due() const;
    void let_go_of_those_who_meet_a_rule();
    bool let_go_of_those_who_diverged(V lost);
    bool let_go_of_those_at_rest(V moved);

    const Run<T>& run_;
    const DescentMethod<T>& method_;
    Cohort<V> cohort_;
    Gradient<V> gradient_;
    Recorder<V> recorder_;
    Stops<V> stops_;
    const std::int64_t period_;  // networks come at multiples of this; if it is 0, when all lanes are free

    std::int64_t clock_ = 0, due_ = 0;           // steps of the pack; the step at which a lane next has something to record, or ends
    std::int64_t begun_[L], next_[L], times_[L];  // per lane: when its network came, its next record, and the record it takes now
    alignas(64) T minus_rates_[L];               // 0 in lanes without a network
    bool leaves_[L];
    bool records_ = false, met_ = false;  // some lane takes a record now; some network meets a rule
    int wanted_ = 0;                      // lanes in use
    std::int64_t origin_ = 0;             // when a network last came while all lanes were free
    bool last_come_ = false;              // the queue is empty
};

}  // namespace shoal

#include "shoal/descent_impl.hpp"
