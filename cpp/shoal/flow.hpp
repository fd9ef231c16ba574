// Gradient flow, dtheta/dt = -grad, by an embedded Runge-Kutta pair of order 5(4) with a continuous extension
// (Ch. Tsitouras, Comput. Math. Appl. 62 (2011) 770), one pack of L networks, each with its own clock: time, step size and
// acceptance are lanes like everything else, so no network waits for another's accuracy and none changes another's bits.
//
//   k_i = -grad(theta + h sum_j a_ij k_j),   theta' = theta + h sum_i b_i k_i,   error = h sum_i e_i k_i,   k_1 of the next step = k_7
//   accept where max_n |error_n| / (atol + rtol max(|theta_n|, |theta'_n|)) <= 1;   h <- h min(5, max(1/5, 0.9 ratio^(-1/5)))
//
// Across a kink of the gradient (a ReLU that switches, a hinge that is met) that error says nothing. Where the pattern of active
// units and unmet hinges differs between the two ends of an attempt, the jump bounds it: accept where h |k_7 - k_1| is within
// tolerance too. Otherwise the switch is located by bisection along the continuous extension; the lane goes to just before it,
// across it in a step that short, and on with the length that it had.
//
// Beyond a kink the stages, and with them the continuous extension, are not those of the flow before it. A lane that misses a kink `patience` times over goes
// nearly all of the way to it instead, again and again, by how far it is and how fast it comes.
//
// A lane that is pushed back onto a kink from both sides slides along it (sliding.hpp): all its slopes are made tangent to it.
//
// A lane records by the continuous extension, so what is recorded does not move the steps.
#pragma once

#include "shoal/queue.hpp"
#include "shoal/recorder.hpp"
#include "shoal/sliding.hpp"

namespace shoal {

template <AnyLanes V>
class Flow;

struct FlowMethod {
    double until, rtol, atol;
    std::int64_t max_steps;            // tried, accepted or not
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

// One thread's workspace; nothing is allocated after its construction.
template <AnyLanes V>
class Flow {
  public:
    using T = typename V::Scalar;
    static_assert(std::is_same_v<T, double>, "a single-precision clock cannot resolve the steps across a kink");
    static constexpr int L = V::count;

    Flow(const Run<T>& run, const FlowMethod& method);

    // Trains the networks of the queue, a pack at a time, until none is left or the monitor says stop.
    void train(Queue& queue, Monitor& monitor);

  private:
    void train(std::int64_t position, int count, Monitor& monitor);

    // What each lane's clock says. A lane at rest (arrived, diverged or exhausted) attempts steps of length 0.
    struct Clock {
        alignas(64) T now[L], length[L], attempt[L];  // time; step that it would like; step that it attempts
        alignas(64) T taken[L], left[L];              // step just taken (0: none), and the time at which that began
        alignas(64) T crossing[L], resume[L];         // length of the step across a located kink (0: none), and the length to go on with
        std::int64_t accepted[L], tried[L], next_record[L];
        std::int64_t checked[L];  // attempts when its progress was last looked at
        alignas(64) T checked_at[L];  // time then
        alignas(64) T after_release[L];  // length to go on with once a surface is left (0: none)
        alignas(64) T home[L];  // length to go on with behind a kink that it approaches (0: none)
        alignas(64) T nearer[L], jump[L];  // what part of the way to that to go; the jump that it expects there, in tolerances per time
        int misses[L];  // attempts since the last that went as it should
        bool leaps[L];  // this attempt goes across the kink
        bool refused[L];  // its last attempt
        bool slid[L];  // it has come onto a surface
        bool changed[L];  // it came onto a surface or left one
    };

    struct Downhill {
        T* to;
        EIGEN_ALWAYS_INLINE void operator()(int number, V, V slope) { (-slope).store(to + std::int64_t(number) * L); }
    };

    // Of the tolerance that one step may spend: the errors of the steps add up.
    static constexpr double share = 1.0 / 16.0;

    static constexpr int patience = 5;

    // Steps are never shorter: time could not tell them apart.
    double shortest() const { return 16 * std::numeric_limits<T>::epsilon() * method_.until; }
    bool has_kinks() const;
    bool has_threshold() const;
    void add_pattern(int first, int count, const Gradient<V>& pass);
    bool slopes(const Pack<V>& at, Pack<V>& into, Monitor& monitor, bool gates = false);
    bool pattern_at(const T* fraction, Monitor& monitor);
    V first_step() const;
    bool aim();
    void combine(const double* a, int terms);
    V error_ratio() const;
    V jump_ratio() const;
    bool judge(V ratio, V jump, Monitor& monitor);
    void take(int lane, bool finite);
    bool locate(const bool (&kinked)[L], const T* jump, Monitor& monitor);
    void aim_at_kink(int lane, double low, double high);
    bool stuck(int lane);
    void approach(int lane);
    bool leap(Monitor& monitor);
    void watch(int lane, bool good, bool switched, double jump);
    void shorten(int lane, double part);
    void slide(int lane, bool switched);
    void move();
    bool settle(Monitor& monitor);
    void interpolate(const T* fraction, const T* length);
    bool record_start(Monitor& monitor);
    bool record_taken(Monitor& monitor);
    bool record_stopped(Monitor& monitor);

    const Run<T>& run_;
    const FlowMethod& method_;
    Cohort<V> cohort_;
    Gradient<V> gradient_;
    Recorder<V> recorder_;
    Sliding<V> sliding_;
    bool has_jumps_;  // kinks at which the gradient jumps
    Clock clock_;
    Pack<V> trial_, seen_;  // theta', and theta at a recorded time
    std::vector<Pack<V>> k_;
    V pattern_, pattern_before_;  // a number that tells which units are active and which hinges are unmet; of the attempt's end and of its start
    V met_, met_before_;          // the same of the squared hinges alone, of the last stage looked at and of the start; the other losses leave it 0
    V strayed_;                   // how far the stages' numbers of that kind lie from the start's
};

}  // namespace shoal

#include "shoal/flow_impl.hpp"
#include "shoal/flow_kinks.hpp"
