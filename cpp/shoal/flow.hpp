// Gradient flow, dtheta/dt = -grad, by an embedded Runge-Kutta pair of order 5(4) with a continuous extension (Ch. Tsitouras, Comput. Math. Appl. 62 (2011)
// 770), for one pack of L networks. Each network has its own clock: time, step size and acceptance are per lane. So no network waits for another's accuracy,
// and none changes another's bits.
//
//   k_i = -grad(theta + h sum_j a_ij k_j),   theta' = theta + h sum_i b_i k_i,   error = h sum_i e_i k_i,   k_1 of the next step = k_7
//   ratio = 16 max_n |error_n| / (atol + rtol max(|theta_n|, |theta'_n|));   accept if ratio <= 1;   h <- h min(5, max(1/5, 0.9 ratio^(-1/5)))
//
// A network that is done leaves, and the next one of the queue takes its lane.
//
// A unit that switches, or a hinge that is met, is an event (kinks.hpp). All stages of an attempt hold the gates that the network has at its beginning, so that
// they see a smooth gradient. If a height would fall through its surface within the attempt, the attempt is repeated, with the length that ends on the surface.
// There active_set.hpp decides how the network continues. So no step crosses a kink, and its error estimate holds.
//
// Records use the continuous extension, so that they do not change the steps. A record costs a forward pass of the whole pack, so it waits until its network
// has another one or leaves, and all that wait are made together.
#pragma once

#include "shoal/active_set.hpp"
#include "shoal/flow_control.hpp"
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

namespace tsitouras {

constexpr int stages = 7;
constexpr double a[stages][stages - 1] = {
    {},
    {0.161},
    {-0.008480655492356989, 0.335480655492357},
    {2.8971530571054935, -6.359448489975075, 4.3622954328695815},
    {5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525},
    {5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383},
    {0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774},
};
constexpr double error[stages] = {
    -0.00178001105222577714, -0.0008164344596567469, 0.007880878010261995, -0.1447110071732629, 0.5823571654525552, -0.45808210592918697, 1.0 / 66.0};
// theta(t + x h) = theta + h sum_i c_i(x) k_i with c_1 = x (c10 + c11 x + ...) and the others x^2 (ci0 + ci1 x + ci2 x^2).
constexpr double first[4] = {1.0, -2.763706197274826, 2.9132554618219126, -1.0530884977290216};
constexpr double others[stages - 1][3] = {
    {0.13169999999999998, -0.2234, 0.1017},
    {3.9302962368947516, -5.941033872131505, 2.490627285651253},
    {-12.411077166933676, 30.33818863028232, -16.548102889244902},
    {37.50931341651104, -88.1789048947664, 47.37952196281928},
    {-27.896526289197286, 65.09189467479366, -34.87065786149661},
    {1.5, -4.0, 2.5},
};

}  // namespace tsitouras

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
    void combine(const double* a, int terms);
    V error_ratio() const;
    void judge(V error);
    V lowest_height() const;
    Attempt look_at(int lane, double error, double factor, bool may_fall);
    double find_falls(int lane);
    void find_neighbours(int lane);
    void take(int lane);
    void give_up(int lane, GaveUp reason);
    void move();
    bool settle(Monitor& monitor);
    void interpolate(const T* due, const T* fraction);
    bool look(const std::int64_t (&times)[L], const Pack<V>& parameters, Monitor& monitor);
    bool record_start(Monitor& monitor);
    bool record_taken(Monitor& monitor);
    bool record_waiting(Monitor& monitor);
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
    Pack<V> trial_, seen_;  // theta', and theta at the time of the record that waits
    std::int64_t waiting_[L];  // its number, or -1
    std::vector<Pack<V>> k_;
    Pack<V> heights_, rates_, heights_after_, rates_after_;  // of the kinks, at both ends of the attempt
};

}  // namespace shoal

#include "shoal/flow_impl.hpp"
#include "shoal/flow_records.hpp"
