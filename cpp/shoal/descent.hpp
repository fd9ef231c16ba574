// Full-batch gradient descent (update.hpp), in L lanes at once, each network from its first to its last step.
//
// A step is a deterministic function of the parameters, and of the velocity where there is momentum. A network that a step leaves unchanged to the bit, with
// its velocity, never moves again, and all its later records equal the present one (unless rates follow a schedule). So it leaves, and the next network of the
// queue takes its lane; the same holds for networks that diverge or meet a rule (stop.hpp). Each lane counts its own steps, from the time on the pack's clock at
// which its network came. Once the queue is empty and few networks are left, they leave the pack and go on alone, one after the other (alone.hpp).
#pragma once

#include "shoal/alone.hpp"
#include "shoal/queue.hpp"
#include "shoal/recorder.hpp"

#include <bit>
#include <memory>

namespace shoal {

// One thread's workspace; its steps allocate nothing.
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
          period_(refill_period(run, method)),
          velocity_(method.moves.momentum != 0 ? run.network.parameters : 0),
          few_(method.leaving < 0 ? most_alone(double(run.network.parameters) * run.task.learnt, V::width, V::registers) : method.leaving) {}

    // Trains networks from the queue until it is empty or the monitor says stop.
    void train(Queue& queue, Monitor& monitor);

  private:
    static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

    // Moves theta, with a check that it is finite; a watchful step also checks whether it, or its velocity, moved.
    template <bool watchful, bool with_velocity>
    struct Move {
        T *parameters, *velocities;
        Update<V> update;
        V not_finite = V(0), moved = V(0);

        EIGEN_ALWAYS_INLINE void operator()(int number, V parameter, V slope) {
            const std::int64_t at = std::int64_t(number) * V::count;
            V there;
            if constexpr (with_velocity) {
                const V before = V::load(velocities + at);
                V velocity = before;
                there = update(parameter, slope, velocity);
                velocity.store(velocities + at);
                if constexpr (watchful) moved = gather_difference(moved, velocity, before);
            } else {
                there = update(parameter, slope);
            }
            there.store(parameters + at);
            not_finite = gather_not_finite(not_finite, there);
            if constexpr (watchful) moved = gather_difference(moved, there, parameter);
        }
    };

    static std::int64_t refill_period(const Run<T>& run, const DescentMethod<T>& method);
    std::int64_t step_of(int lane) const { return clock_ - begun_[lane]; }
    void set_rate(int lane) { minus_rates_[lane] = -method_.moves.rate(run_.position + cohort_.lanes.network[lane], step_of(lane)); }
    bool step(bool watchful, Monitor& monitor);
    template <bool watchful, bool with_velocity>
    bool step(Monitor& monitor);
    bool see(int first, int count, const Gradient<V>& pass, const Monitor& monitor);
    bool attend(Queue& queue, Monitor& monitor);
    bool finish(Monitor& monitor);
    bool fill(Queue& queue, Monitor& monitor);
    bool go_on_alone(Monitor& monitor);
    void leave(int lane);
    bool look(const std::int64_t (&times)[L], Monitor& monitor);
    bool begin_records(const Monitor& monitor);
    void end_records();
    void set_due(int lane);
    std::int64_t next_record() const;
    std::int64_t next_attendance() const;
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
    Pack<V> velocity_;  // where there is momentum
    const int few_;  // so many networks, or fewer, train faster alone
    std::unique_ptr<alone::Alone<T>> alone_;  // made when it is first needed

    std::int64_t clock_ = 0;  // steps of the pack
    std::int64_t attend_at_ = 0, record_at_ = 0;  // the step at which a lane next ends, or may be filled; at which one has something to record
    std::int64_t begun_[L], next_[L], times_[L];  // per lane: when its network came, its next record, and the record it takes now
    std::int64_t due_[L];  // when the next record is due; `never` without one
    alignas(64) T minus_rates_[L];  // 0 in lanes without a network
    bool leaves_[L];
    bool records_ = false, met_ = false;  // some lane takes a record now; some network meets a rule
    int wanted_ = 0;  // lanes in use
    std::int64_t origin_ = 0;  // when a network last came while all lanes were free
    bool last_come_ = false;  // the queue is empty
};

}  // namespace shoal

#include "shoal/descent_impl.hpp"
