// Gradient flow, dtheta/dt = -grad, by an embedded Runge-Kutta pair with a continuous extension (pairs.hpp), for one pack of L networks. Each network has its own
// clock: time, step size and acceptance are per lane. So no network waits for another's accuracy, and none changes another's bits.
//
//   k_i = -grad(theta + h sum_j a_ij k_j),   theta' = theta + h sum_i b_i k_i,   error = h sum_i e_i k_i,   first k of the next step = last k of this one
//   ratio = 16 max_n |error_n| / (atol + rtol max(|theta_n|, |theta'_n|));   accept if ratio <= 1;   h <- h min(5, max(1/5, 0.9 ratio^(-1/order)))
//
// A network that is done leaves, and the next one of the queue takes its lane.
//
// A unit that switches, or a hinge that is met, is an event (kinks.hpp). All stages of an attempt hold the gates that the network has at its beginning, so that
// they see a smooth gradient. If a height would fall through its surface within the attempt, the attempt is repeated, with the length that ends on the surface.
// There active_set.hpp decides how the network continues. So no step crosses a kink, and its error estimate holds.
//
// Records use the continuous extension, so that they do not change the steps.
#pragma once

#include "shoal/active_set.hpp"
#include "shoal/flow_control.hpp"
#include "shoal/pairs.hpp"
#include "shoal/queue.hpp"
#include "shoal/recorder.hpp"

namespace shoal {

template <AnyLanes V>
class Flow;

struct FlowMethod {
    double until, rtol, atol;
    std::int64_t max_steps;  // counts accepted and rejected steps
    std::vector<double> record_times;  // increasing, 0..until

    template <AnyLanes V>
    using Trainer = Flow<V>;
};

// A sum of weighted slopes.
template <AnyLanes V>
struct Combination {
    V weights[Pair::most_slopes];
    const typename V::Scalar* slopes[Pair::most_slopes];
    int count = 0;

    void add(V weight, const Pack<V>& slope) {
        weights[count] = weight;
        slopes[count++] = slope.at(0);
    }
    EIGEN_ALWAYS_INLINE V operator()(int number) const {
        const auto at = [&](int j) { return V::load(slopes[j] + std::int64_t(number) * V::count); };
        V sum = weights[0] * at(0);
        for (int j = 1; j < count; ++j) sum = fma(weights[j], at(j), sum);
        return sum;
    }
};

// One thread's workspace.
template <AnyLanes V>
class Flow {
  public:
    using T = typename V::Scalar;
    static_assert(std::is_same_v<T, double>, "a single-precision clock cannot resolve the steps of a flow");
    static constexpr int L = V::count;

    Flow(const Run<T>& run, const FlowMethod& method);

    // Trains networks from the queue until it is empty or the monitor says stop.
    void train(Queue& queue, Monitor& monitor);

  private:
    // The clock of one network.
    struct Clock {
        double now = 0, length = 0;  // time; length of the next step
        double resume = 0;  // length of the next step without the surface ahead (0: there is none)
        double left = 0;  // time at which the step just taken began
        std::int64_t accepted = 0, tried = 0, next_record = 0;
        int idle = 0;  // surfaces met since time last advanced
        bool refused = false;  // whether its last attempt was rejected for its error
        std::int64_t target = -1;  // number of the surface at which the attempt should end, or -1
        GaveUp gave_up = GaveUp::no;
        std::vector<std::int64_t> hits;  // numbers of the surfaces that it has reached
    };

    struct Downhill {
        T* to;
        EIGEN_ALWAYS_INLINE void operator()(int number, V, V slope) { (-slope).store(to + std::int64_t(number) * L); }
    };

    // The fraction of the tolerance that one step may use, because the errors of the steps add up.
    static constexpr double share = 1.0 / 16.0;
    // The most surfaces that may be met at one time.
    static constexpr int most_idle = 200;

    // The shortest step that floating-point time resolves.
    double shortest(const Clock& clock) const { return std::max(4 * std::numeric_limits<double>::epsilon() * clock.now, 1e-30 * method_.until); }
    bool moves(int lane) const { return clocks_[lane].now < method_.until && cohort_.lanes.status[lane] == Status::ok && cohort_.lanes.wanted(lane); }
    bool attempt(Monitor& monitor);
    bool finish(Monitor& monitor);
    void leave(int lane);
    bool fill(Queue& queue, Monitor& monitor);
    bool begin(Monitor& monitor);
    bool is_finite(const Pack<V>& pack, int lane) const;
    bool descend(const Pack<V>& at, Pack<V>& into, Monitor& monitor);
    bool slopes(const Pack<V>& at, Pack<V>& into, Monitor& monitor, bool last = false);
    bool find_heights(const Pack<V>& at, const Pack<V>& velocity, Pack<V>& heights, Pack<V>& rates, Monitor& monitor);
    double first_step(int lane) const;
    bool aim();
    Combination<V> combine(const Terms& terms, V factor) const;
    void go_to(int slope, V length, Pack<V>& to) const;
    void find_errors(T (&errors)[L]) const;
    void judge();
    V lowest_height() const;
    Attempt look_at(int lane, double error, double factor, bool may_fall);
    double find_falls(int lane);
    void find_neighbours(int lane);
    void take(int lane);
    void give_up(int lane, GaveUp reason);
    void move();
    bool settle(Monitor& monitor);
    bool extend(Monitor& monitor);
    void interpolate(const T* fraction);
    bool look(const std::int64_t (&times)[L], const Pack<V>& parameters, Monitor& monitor);
    bool record_start(Monitor& monitor);
    bool record_taken(Monitor& monitor);
    bool record_stopped(Monitor& monitor);

    const Run<T>& run_;
    const FlowMethod& method_;
    Cohort<V> cohort_;
    Gradient<V> gradient_;
    Recorder<V> recorder_;
    ActiveSet<V> active_;
    Clock clocks_[L];
    alignas(64) T attempt_[L], taken_[L];  // lengths of the attempt and of the step just taken; 0 if there is none. A lane at rest attempts steps of length 0
    alignas(64) T lost_[L];  // not 0 if the loss was not finite when slopes were last computed
    alignas(64) T fresh_[L];  // not 0 if a network has just come
    bool settles_[L];  // whether it has reached a surface
    Pack<V> trial_, seen_;  // theta', and theta at a recorded time
    const Pair pair_;
    std::vector<Pack<V>> k_;
    Pack<V> heights_, rates_, heights_after_, rates_after_;  // of the kinks, at both ends of the attempt
};

}  // namespace shoal

#include "shoal/flow_impl.hpp"
#include "shoal/flow_records.hpp"
