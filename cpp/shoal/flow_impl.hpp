// The parts of one attempted step of Flow, in the order in which they come.
#pragma once

#include "shoal/flow.hpp"

namespace shoal {

template <AnyLanes V>
Flow<V>::Flow(const Run<T>& run, const FlowMethod& method)
    : run_(run),
      method_(method),
      cohort_(run),
      gradient_(run.network, run.task, run.loss, run.penalty, run.tuning),
      recorder_(run),
      sliding_(run, gradient_, share * method.rtol, share * method.atol),
      has_jumps_(sliding_.has_jumps()),
      trial_(run.network.parameters),
      seen_(run.network.parameters) {
    for (int i = 0; i < tsitouras::stages; ++i) k_.emplace_back(run.network.parameters);
}

template <AnyLanes V>
void Flow<V>::train(Queue& queue, Monitor& monitor) {
    while (!monitor.stopped()) {
        const auto [first, count] = queue.take(L);
        if (count == 0) return;
        train(first, count, monitor);
    }
}

template <AnyLanes V>
void Flow<V>::train(std::int64_t position, int count, Monitor& monitor) {
    cohort_.begin(position, count);
    clock_ = {};
    if (!gradient_.centre(cohort_.parameters, V(1), [&] { return !monitor.stopped(); }) || !recorder_.centre(cohort_.parameters, V(1), monitor)) return;
    for (int lane = 0; lane < L; ++lane) sliding_.forget(lane);
    if (!slopes(cohort_.parameters, k_[0], monitor)) return;
    pattern_before_ = pattern_, met_before_ = met_;
    first_step().store(clock_.length);
    if (!record_start(monitor)) return;
    while (aim()) {
        strayed_ = 0;
        for (int stage = 1; stage < tsitouras::stages; ++stage) {
            combine(tsitouras::a[stage], stage);
            if (!slopes(trial_, k_[stage], monitor, stage == tsitouras::stages - 1)) return;
            strayed_ = max(strayed_, abs(met_ - met_before_));
        }
        if (!leap(monitor)) return;
        if (!judge(error_ratio(), jump_ratio(), monitor)) return;
        if (!record_taken(monitor)) return;
        move();
        if (!settle(monitor)) return;
    }
    if (!record_stopped(monitor)) return;
    for (int lane = 0; lane < count; ++lane) {
        recorder_.write_end(cohort_.lanes, lane, cohort_.parameters);
        const bool arrived = cohort_.lanes.status[lane] == Status::ok;
        run_.record.stopped_time[position + lane] = arrived ? std::numeric_limits<double>::quiet_NaN() : clock_.now[lane];
        run_.record.accepted[position + lane] = clock_.accepted[lane];
        run_.record.rejected[position + lane] = clock_.tried[lane] - clock_.accepted[lane];
    }
    monitor.stepped(count);
    monitor.report();
}

template <AnyLanes V>
bool Flow<V>::has_kinks() const {
    return run_.network.activation == Activation::relu || run_.network.activation == Activation::leaky_relu || has_threshold();
}

// The squared hinge's gradient does not jump at its threshold, but is not smooth there.
template <AnyLanes V>
bool Flow<V>::has_threshold() const {
    return run_.loss.kind == LossKind::hinge || run_.loss.kind == LossKind::squared_hinge;
}

// Adds the tag of each active unit and unmet hinge of a block.
template <AnyLanes V>
void Flow<V>::add_pattern(int first, int count, const Gradient<V>& pass) {
    const Network& network = run_.network;
    std::int64_t number = std::int64_t(first) * (network.units() + 1);
    const auto tag = [&] { return V(kink_tag(number++)); };
    for (int s = 0; s < count; ++s) {
        if (run_.task.weights[first + s] == 0) {  // no kink of the gradient
            number += network.units() + 1;
            continue;
        }
        for (int l = 0; l < network.hidden_layers(); ++l)
            for (int o = 0; o < network.layers[l].outputs; ++o) pattern_ = pattern_ + keep_where_positive(pass.active(l, s, o), tag());
        if (!has_threshold()) {
            ++number;
            continue;
        }
        const V unmet = keep_where_positive(V(run_.loss.threshold) - V(T(run_.task.labels[first + s])) * pass.output(s, 0), tag());
        pattern_ = pattern_ + unmet;
        if (run_.loss.kind == LossKind::squared_hinge) met_ = met_ + unmet;
    }
}

// The velocity, and the pattern there.
template <AnyLanes V>
bool Flow<V>::slopes(const Pack<V>& at, Pack<V>& into, Monitor& monitor, bool gates) {
    const bool kinks = has_kinks();
    pattern_ = met_ = 0;
    const auto see = [&](int first, int count, const Gradient<V>& pass) {
        if (kinks) add_pattern(first, count, pass);
        sliding_.see(first, count, pass);
        return !monitor.stopped();
    };
    Downhill downhill{into.at(0)};
    if (!gradient_(at, see, downhill)) return false;
    pattern_ = sliding_.without(pattern_);
    for (int lane = 0; lane < L; ++lane)
        if (sliding_.slides(lane)) sliding_.follow(lane, at, into, gates);
    return true;
}

// The pattern at a fraction of the attempt.
template <AnyLanes V>
bool Flow<V>::pattern_at(const T* fraction, Monitor& monitor) {
    interpolate(fraction, clock_.attempt);
    pattern_ = met_ = 0;
    const bool whole = gradient_.forward_only(seen_, [&](int first, int count, const Gradient<V>& pass) {
        add_pattern(first, count, pass);
        sliding_.see(first, count, pass);
        return !monitor.stopped();
    });
    pattern_ = sliding_.without(pattern_);
    return whole;
}

// A hundredth of the time in which theta would move by its own size.
template <AnyLanes V>
V Flow<V>::first_step() const {
    V size = 0, speed = 0;
    for (int n = 0; n < run_.network.parameters; ++n) {
        const V theta = abs(cohort_.parameters[n]), scale = V(share * method_.atol) + V(share * method_.rtol) * theta;
        size = max(size, theta / scale);
        speed = max(speed, abs(k_[0][n]) / scale);
    }
    const V whole = method_.until, step = V(0.01) * size / speed;
    return where_less(step, V(shortest()), V(shortest()), where_less(step, whole, step, whole));  // a network that does not move has infinite time
}

// Sets the length of each lane's next attempt; whether some lane is still on its way.
template <AnyLanes V>
bool Flow<V>::aim() {
    bool any_left = false;
    for (int lane = 0; lane < L; ++lane) {
        const double left = method_.until - clock_.now[lane];
        if (left > 0 && (clock_.tried[lane] >= method_.max_steps || stuck(lane))) cohort_.stop(lane, Status::exhausted, clock_.accepted[lane]);
        const bool moves = left > 0 && cohort_.lanes.status[lane] == Status::ok && cohort_.lanes.wanted(lane);
        clock_.leaps[lane] = false;
        if (moves && clock_.home[lane] > 0) approach(lane);
        clock_.attempt[lane] = moves ? std::min(clock_.length[lane], left) : 0.0;
        if (!moves) sliding_.forget(lane);
        any_left |= moves;
    }
    return any_left;
}

// Whether a lane that has slid gets nowhere: where more surfaces meet than it can tell apart.
// Sets the length of the next attempt to nearly all of the way to the kink ahead, or, where its jump does not matter any more, to across it.
// Takes the lanes that go across a kink there in a straight line: where the flow behind pushes back, an average of slopes from both sides might not.
// trial = theta + h sum_j a_j k_j over the first `terms` slopes.
template <AnyLanes V>
void Flow<V>::combine(const double* a, int terms) {
    const V h = V::load(clock_.attempt);
    V weight[tsitouras::stages];
    for (int j = 0; j < terms; ++j) weight[j] = h * V(a[j]);
    for (int n = 0; n < run_.network.parameters; ++n) {
        V sum = weight[0] * k_[0][n];
        for (int j = 1; j < terms; ++j) sum = fma(weight[j], k_[j][n], sum);
        (cohort_.parameters[n] + sum).store(trial_.at(n));
    }
}

// max_n |error_n| / (atol + rtol max(|theta_n|, |theta'_n|)): NaN or infinite where the attempt left the numbers.
template <AnyLanes V>
V Flow<V>::error_ratio() const {
    const V h = V::load(clock_.attempt), atol = share * method_.atol, rtol = share * method_.rtol;
    V largest = 0, bad = 0;
    for (int n = 0; n < run_.network.parameters; ++n) {
        V error = V(tsitouras::error[0]) * k_[0][n];
        for (int j = 1; j < tsitouras::stages; ++j) error = fma(V(tsitouras::error[j]), k_[j][n], error);
        const V moved = trial_[n], ratio = abs(h * error) / fma(rtol, max(abs(cohort_.parameters[n]), abs(moved)), atol);
        largest = max(largest, ratio);
        bad = gather_not_finite(bad, moved + ratio);
    }
    return largest + bad;
}

// max_n h |k_7 - k_1| / (atol + rtol max(|theta_n|, |theta'_n|)), which bounds the error of an attempt across a kink.
template <AnyLanes V>
V Flow<V>::jump_ratio() const {
    const V h = V::load(clock_.attempt), atol = share * method_.atol, rtol = share * method_.rtol;
    V largest = 0;
    for (int n = 0; n < run_.network.parameters; ++n) {
        const V jump = abs(h * (k_[tsitouras::stages - 1][n] - k_[0][n]));
        largest = max(largest, jump / fma(rtol, max(abs(cohort_.parameters[n]), abs(trial_[n])), atol));
    }
    return largest;
}

// Accepts or refuses each lane's attempt and sets its next length. An attempt of the shortest length is always taken: across a kink it is within rounding of
// the kink, and a network whose numbers are lost there has diverged.
template <AnyLanes V>
bool Flow<V>::judge(V ratio, V jump, Monitor& monitor) {
    alignas(64) T ratios[L], factors[L], jumps[L], before[L], after[L], strays[L];
    ratio.store(ratios);
    strayed_.store(strays);
    jump.store(jumps);
    pattern_before_.store(before);
    pattern_.store(after);
    (V(0.9) * exp(V(-0.2) * log(where_less(ratio, V(1e-10), V(1e-10), ratio)))).store(factors);
    bool kinked[L], some = false;
    for (int lane = 0; lane < L; ++lane) {
        clock_.taken[lane] = 0.0;
        kinked[lane] = false;
        const double h = clock_.attempt[lane];
        if (h == 0.0) continue;
        ++clock_.tried[lane];
        const bool finite = ratios[lane] - ratios[lane] == 0.0, switched = before[lane] != after[lane], shortest_step = h <= 4 * shortest();
        const bool approaches = clock_.home[lane] > 0;
        const bool over = finite && (switched || clock_.leaps[lane]) && jumps[lane] > 1.0 && !shortest_step;
        kinked[lane] = over && !approaches;
        some |= kinked[lane];
        // An attempt that ends where it should, while a stage of it looked beyond a squared hinge.
        const bool strayed = finite && !switched && strays[lane] != 0.0 && jumps[lane] > 1.0;
        const bool smooth = finite && ratios[lane] <= 1.0 && !over && !strayed;
        const double part = smooth ? sliding_.part(lane, h) : 1.0;
        const bool good = smooth && (part == 1.0 || shortest_step);
        if (good || shortest_step) take(lane, finite);
        if (smooth && !good)
            shorten(lane, part);
        else if (!kinked[lane]) {
            const double most = strayed ? 0.5 : clock_.refused[lane] ? 1.0 : 5.0, factor = finite ? std::clamp(factors[lane], 0.2, most) : 0.2;
            clock_.length[lane] = std::max(h * (shortest_step ? std::max(factor, 1.0) : factor), shortest());
            if (good && clock_.crossing[lane] > 0) {
                // Before the kink: across it now. Not yet across, because the kink was not quite where it was seen: a longer step, or the search begins anew.
                clock_.length[lane] = switched ? clock_.resume[lane] : clock_.crossing[lane];
                clock_.crossing[lane] = switched ? 0.0 : 4.0 * clock_.crossing[lane];
            }
        }
        clock_.refused[lane] = !good;
        if (has_jumps_ && !strayed) watch(lane, good, switched, jumps[lane]);
        if (clock_.taken[lane] > 0 && finite) slide(lane, switched);
    }
    // The pattern of the attempts' ends: the search below overwrites it.
    const V end = pattern_, met = met_;
    if (some && !locate(kinked, jumps, monitor)) return false;
    const V zero = 0, taken = V::load(clock_.taken);
    pattern_before_ = where_less(zero, taken, end, pattern_before_);
    met_before_ = where_less(zero, taken, met, met_before_);
    return true;
}

template <AnyLanes V>
void Flow<V>::take(int lane, bool finite) {
    const double h = clock_.attempt[lane];
    ++clock_.accepted[lane];
    if (!finite) cohort_.stop(lane, Status::diverged, clock_.accepted[lane]);
    clock_.left[lane] = clock_.now[lane];
    clock_.taken[lane] = h;
    clock_.now[lane] = h == method_.until - clock_.now[lane] ? method_.until : clock_.now[lane] + h;
}

// Brackets the first switch within each kinked lane's attempt, until the jump across the bracket is within a quarter of the tolerance.
// Next attempt: to just before the kink, or across it where it begins at once.
// Counts the refusals one after another, until the lane approaches the kink step by step; and whether it got there. One that has slid already is at a kink
// often: steps towards one that is not where it was seen count too.
// To where a surface lets the lane go, within the attempt.
// Whether the step that the lane takes ends on a surface, on which it stays.
// theta <- theta', k_1 <- k_7 in the lanes that took their attempt.
template <AnyLanes V>
void Flow<V>::move() {
    const V taken = V::load(clock_.taken), zero = 0;
    Pack<V>& theta = cohort_.parameters;
    for (int n = 0; n < run_.network.parameters; ++n) {
        where_less(zero, taken, trial_[n], theta[n]).store(theta.at(n));
        where_less(zero, taken, k_[tsitouras::stages - 1][n], k_[0][n]).store(k_[0].at(n));
    }
}

// Puts the lanes that slide back onto their surfaces, lets go of those that let go, and finds the velocities where that changed them.
// seen = theta at the fraction x of an attempt of that length.
template <AnyLanes V>
void Flow<V>::interpolate(const T* fraction, const T* length) {
    const V x = V::load(fraction), h = V::load(length);
    V weight[tsitouras::stages];
    weight[0] = h * x * fma(fma(fma(V(tsitouras::first[3]), x, V(tsitouras::first[2])), x, V(tsitouras::first[1])), x, V(tsitouras::first[0]));
    for (int j = 1; j < tsitouras::stages; ++j) {
        const double* c = tsitouras::others[j - 1];
        weight[j] = h * x * x * fma(fma(V(c[2]), x, V(c[1])), x, V(c[0]));
    }
    for (int n = 0; n < run_.network.parameters; ++n) {
        V sum = weight[0] * k_[0][n];
        for (int j = 1; j < tsitouras::stages; ++j) sum = fma(weight[j], k_[j][n], sum);
        (cohort_.parameters[n] + sum).store(seen_.at(n));
    }
}

// The record at time 0, where there is one.
template <AnyLanes V>
bool Flow<V>::record_start(Monitor& monitor) {
    if (method_.record_times.empty() || method_.record_times[0] > 0) return true;
    std::int64_t times[L] = {};
    std::fill_n(clock_.next_record, L, 1);
    return recorder_.look(gradient_, cohort_.lanes, times, cohort_.parameters, monitor);
}

// The records that lie within the steps just taken: one of each lane at a time.
template <AnyLanes V>
bool Flow<V>::record_taken(Monitor& monitor) {
    for (;;) {
        std::int64_t times[L];
        alignas(64) double fraction[L];
        bool some = false;
        for (int lane = 0; lane < L; ++lane) {
            std::int64_t& next = clock_.next_record[lane];
            const bool due = clock_.taken[lane] > 0 && next < run_.record.times && method_.record_times[next] <= clock_.now[lane];
            times[lane] = due ? next : -1;
            fraction[lane] = due ? std::min(1.0, (method_.record_times[next] - clock_.left[lane]) / clock_.taken[lane]) : 0.0;
            next += due;
            some |= due;
        }
        if (!some) return true;
        interpolate(fraction, clock_.taken);
        if (!recorder_.look(gradient_, cohort_.lanes, times, seen_, monitor)) return false;
    }
}

// NaN for the records that a stopped lane never reached.
template <AnyLanes V>
bool Flow<V>::record_stopped(Monitor& monitor) {
    std::int64_t times[L];
    bool some = false;
    for (int lane = 0; lane < L; ++lane) {
        const std::int64_t next = clock_.next_record[lane];
        const bool due = cohort_.lanes.status[lane] != Status::ok && next < run_.record.times;
        times[lane] = due ? next : -1;
        some |= due;
    }
    if (some && !recorder_.look(gradient_, cohort_.lanes, times, cohort_.parameters, monitor)) return false;
    if (some) recorder_.hold();
    return true;
}

}  // namespace shoal
