// The parts of Flow: networks that come and leave, and one attempted step, in order.
#pragma once

#include "shoal/flow.hpp"

namespace shoal {

template <AnyLanes V>
Flow<V>::Flow(const Run<T>& run, const FlowMethod& method)
    : run_(run),
      method_(method),
      cohort_(run),
      gradient_(run.network, run.task, run.loss, run.penalty, run.tuning.keeping_values()),
      recorder_(run),
      active_(run, gradient_, share * method.rtol, share * method.atol),
      trial_(run.network.parameters),
      seen_(run.network.parameters) {
    for (int i = 0; i < tsitouras::stages; ++i) k_.emplace_back(run.network.parameters);
    const std::int64_t kinks = std::int64_t(run.task.samples) * active_.map().per_sample;
    for (Pack<V>* heights : {&heights_, &rates_, &heights_after_, &rates_after_}) *heights = Pack<V>(kinks);
    for (Clock& clock : clocks_) clock.hits.reserve(16);
    std::fill_n(waiting_, L, std::int64_t(-1));
}

template <AnyLanes V>
void Flow<V>::train(Queue& queue, Monitor& monitor) {
    for (int lane = 0; lane < L; ++lane) leave(lane);
    while (fill(queue, monitor) && (!aim() || attempt(monitor)) && finish(monitor)) {}
}

// Attempts one step in all lanes. Returns false if the monitor says stop.
template <AnyLanes V>
bool Flow<V>::attempt(Monitor& monitor) {
    for (int stage = 1; stage < tsitouras::stages; ++stage) {
        combine(tsitouras::a[stage], stage);
        if (!slopes(trial_, k_[stage], monitor, stage == tsitouras::stages - 1)) return false;
    }
    if (!find_heights(trial_, k_.back(), heights_after_, rates_after_, monitor)) return false;
    judge(error_ratio());
    if (!record_taken(monitor)) return false;
    move();
    return settle(monitor);
}

// Writes how the networks ended that move no more, and frees their lanes.
template <AnyLanes V>
bool Flow<V>::finish(Monitor& monitor) {
    bool some = false;
    for (int lane = 0; lane < L; ++lane) some |= cohort_.lanes.wanted(lane) && !moves(lane);
    if (!some) return true;
    if (!record_waiting(monitor) || !record_stopped(monitor)) return false;
    for (int lane = 0; lane < L; ++lane) {
        if (!cohort_.lanes.wanted(lane) || moves(lane)) continue;
        recorder_.write_end(cohort_.lanes, lane, cohort_.parameters, k_[0]);
        const Clock& clock = clocks_[lane];
        const std::int64_t network = cohort_.lanes.network[lane];
        const bool arrived = cohort_.lanes.status[lane] == Status::ok;
        run_.record.stopped_time[network] = arrived ? std::numeric_limits<double>::quiet_NaN() : clock.now;
        run_.record.accepted[network] = clock.accepted;
        run_.record.rejected[network] = clock.tried - clock.accepted;
        if (run_.record.gave_up) run_.record.gave_up[network] = clock.gave_up;
        leave(lane);
        monitor.stepped(1);
        monitor.report();
    }
    return true;
}

template <AnyLanes V>
void Flow<V>::leave(int lane) {
    cohort_.leave(lane);
    active_.forget(lane);
    attempt_[lane] = taken_[lane] = 0;
}

// Takes networks from the queue into free lanes. Each time costs passes of the whole pack, so of many lanes some wait for others. Returns false if no lane has a
// network, or the monitor says stop.
template <AnyLanes V>
bool Flow<V>::fill(Queue& queue, Monitor& monitor) {
    if (monitor.stopped()) return false;
    const int free = L - cohort_.lanes.wanted();
    if (free < std::max(1, L / 8)) return true;
    const auto [first, count] = queue.take(free);
    for (int lane = 0, taken = 0; lane < L; ++lane) {
        fresh_[lane] = taken < count && !cohort_.lanes.wanted(lane);
        if (fresh_[lane] != 0) cohort_.begin_lane(lane, first + taken++);
    }
    if (count == 0) return free < L;
    return begin(monitor) && record_start(monitor);
}

// Computes the velocities of fresh networks at initialisation, and the side of each surface on which they are.
template <AnyLanes V>
bool Flow<V>::begin(Monitor& monitor) {
    const Pack<V>& theta = cohort_.parameters;
    const V fresh = V::load(fresh_), zero = 0;
    const auto go_on = [&] { return !monitor.stopped(); };
    gradient_.hold(nullptr);
    if (!gradient_.centre(theta, fresh, go_on) || !recorder_.centre(theta, fresh, monitor)) return false;
    for (int lane = 0; lane < L; ++lane) {
        taken_[lane] = 0;
        settles_[lane] = false;
        if (fresh_[lane] == 0) continue;
        cohort_.resume_lane(lane);
        Clock& clock = clocks_[lane];
        clock.now = clock.length = clock.resume = clock.left = 0;
        clock.accepted = clock.tried = clock.next_record = 0;
        clock.idle = 0;
        clock.gave_up = GaveUp::no;
        clock.refused = false;
        clock.hits.clear();
        clock.target = -1;
        active_.begin(lane, theta);
    }
    gradient_.hold(active_.map().any() ? &active_.held : nullptr);
    if (!descend(theta, k_[1], monitor)) return false;
    for (int n = 0; n < run_.network.parameters; ++n) where_less(zero, fresh, k_[1][n], k_[0][n]).store(k_[0].at(n));
    for (int lane = 0; lane < L; ++lane) {
        if (fresh_[lane] == 0) continue;
        if (!is_finite(k_[0], lane) || lost_[lane] != 0) cohort_.stop(lane, Status::diverged, 0);
        settles_[lane] = active_.map().any() && moves(lane);
    }
    if (!settle(monitor)) return false;
    for (int lane = 0; lane < L; ++lane)
        if (fresh_[lane] != 0) clocks_[lane].length = first_step(lane);
    return true;
}

template <AnyLanes V>
bool Flow<V>::is_finite(const Pack<V>& pack, int lane) const {
    for (int n = 0; n < run_.network.parameters; ++n)
        if (!std::isfinite(pack.at(n)[lane])) return false;
    return true;
}

// Computes the velocity with the held gates.
template <AnyLanes V>
bool Flow<V>::descend(const Pack<V>& at, Pack<V>& into, Monitor& monitor) {
    Downhill downhill{into.at(0)};
    if (!gradient_(at, [&](int, int, const Gradient<V>&) { return !monitor.stopped(); }, downhill)) return false;
    gradient_.lost().store(lost_);
    return true;
}

// The same, along the surfaces on which a lane slides.
template <AnyLanes V>
bool Flow<V>::slopes(const Pack<V>& at, Pack<V>& into, Monitor& monitor, bool last) {
    if (!descend(at, into, monitor)) return false;
    for (int lane = 0; lane < L; ++lane)
        if (active_.slides(lane)) active_.follow(lane, at, into, last);
    return true;
}

template <AnyLanes V>
bool Flow<V>::find_heights(const Pack<V>& at, const Pack<V>& velocity, Pack<V>& heights, Pack<V>& rates, Monitor& monitor) {
    return !active_.map().any() || gradient_.heights(at, velocity, heights, rates, [&] { return !monitor.stopped(); });
}

// Returns a hundredth of the time in which theta would move by its own size, or, if longer, the time in which it moves by the tolerance.
template <AnyLanes V>
double Flow<V>::first_step(int lane) const {
    double size = 1.0, speed = 0.0;
    for (int n = 0; n < run_.network.parameters; ++n) {
        const double theta = std::abs(cohort_.parameters.at(n)[lane]), moves = std::abs(k_[0].at(n)[lane]),
                     scale = share * (method_.atol + method_.rtol * theta);
        if (scale == 0) continue;  // without an absolute tolerance there is no scale at 0: the error decides
        size = std::max(size, 0.01 * theta / scale);
        speed = std::max(speed, moves / scale);
    }
    return std::clamp(size / speed, shortest(clocks_[lane]), method_.until);  // infinite before the clamp if the network does not move
}

// Sets the length of each lane's next attempt. Returns whether some lane still moves.
template <AnyLanes V>
bool Flow<V>::aim() {
    bool any_left = false;
    for (int lane = 0; lane < L; ++lane) {
        Clock& clock = clocks_[lane];
        if (moves(lane) && clock.tried >= method_.max_steps) give_up(lane, GaveUp::steps);
        attempt_[lane] = moves(lane) ? std::min(clock.length, method_.until - clock.now) : 0.0;
        if (!moves(lane)) active_.forget(lane);
        any_left |= moves(lane);
    }
    return any_left;
}

// trial = theta + h sum_j a_j k_j over the first `terms` slopes.
template <AnyLanes V>
void Flow<V>::combine(const double* a, int terms) {
    const V h = V::load(attempt_);
    V weight[tsitouras::stages];
    for (int j = 0; j < terms; ++j) weight[j] = h * V(a[j]);
    for (int n = 0; n < run_.network.parameters; ++n) {
        V sum = weight[0] * k_[0][n];
        for (int j = 1; j < terms; ++j) sum = fma(weight[j], k_[j][n], sum);
        (cohort_.parameters[n] + sum).store(trial_.at(n));
    }
}

// The ratio of flow.hpp: the largest error in tolerances of one step. It is NaN or infinite if a number of the attempt is not finite. An error of 0 is within
// any tolerance.
template <AnyLanes V>
V Flow<V>::error_ratio() const {
    const V h = V::load(attempt_), atol = share * method_.atol, rtol = share * method_.rtol, zero = 0;
    V largest = 0, bad = 0;
    for (int n = 0; n < run_.network.parameters; ++n) {
        V error = V(tsitouras::error[0]) * k_[0][n];
        for (int j = 1; j < tsitouras::stages; ++j) error = fma(V(tsitouras::error[j]), k_[j][n], error);
        error = abs(h * error);
        const V moved = trial_[n], ratio = error / fma(rtol, max(abs(cohort_.parameters[n]), abs(moved)), atol);
        largest = max(largest, where_less(zero, error, ratio, zero));
        bad = gather_not_finite(bad, moved + error);
    }
    return largest + bad;
}

// Accepts or rejects each lane's attempt, and sets its next length.
template <AnyLanes V>
void Flow<V>::judge(V error) {
    alignas(64) T errors[L], factors[L], lowest[L];
    error.store(errors);
    (V(0.9) * exp(V(-0.2) * log(where_less(error, V(1e-10), V(1e-10), error)))).store(factors);
    lowest_height().store(lowest);
    for (int lane = 0; lane < L; ++lane) {
        Clock& clock = clocks_[lane];
        taken_[lane] = 0.0;
        settles_[lane] = false;
        if (attempt_[lane] == 0.0) continue;
        ++clock.tried;
        const Decision decision = decide(look_at(lane, errors[lane], factors[lane], lowest[lane] < 0));
        const bool refused = decision.act == Act::again, taken = decision.act == Act::take || decision.act == Act::settle;
        // A surface ahead shortens this step, but not those after it.
        if (refused && decision.surface) clock.resume = std::max(clock.resume, attempt_[lane]);
        clock.length = taken ? std::max(decision.length, clock.resume) : decision.length;
        if (taken) clock.resume = 0;
        clock.refused = refused && !decision.surface;
        if (!(refused && decision.surface)) clock.target = -1;
        settles_[lane] = decision.act == Act::settle || decision.act == Act::at_once;
        if (taken) take(lane);
        if (decision.act == Act::give_up) give_up(lane, GaveUp::resolution);
        if (decision.act == Act::leave) give_up(lane, GaveUp::undetermined);
        if (decision.act == Act::diverge) cohort_.stop(lane, Status::diverged, clock.accepted);
    }
}

// A lower bound of all heights within the attempt: the least of their ends and of the inner control points of their cubics. Only if it is below 0 can a height
// fall.
template <AnyLanes V>
V Flow<V>::lowest_height() const {
    const V third = V::load(attempt_) * V(1.0 / 3.0);
    V lowest = 0;
    for (std::int64_t n = 0; n < std::int64_t(run_.task.samples) * active_.map().per_sample; ++n) {
        const V side = active_.sides[n], before = heights_[n], after = heights_after_[n];
        const V inner = min(fma(third, rates_[n], before) * side, fma(-third, rates_after_[n], after) * side);
        lowest = min(lowest, min(after * side, inner));
    }
    return lowest;
}

// Collects what `decide` needs to know about a lane's attempt, and finds the surfaces that it has reached.
template <AnyLanes V>
Attempt Flow<V>::look_at(int lane, double error, double factor, bool may_fall) {
    Clock& clock = clocks_[lane];
    Attempt attempt{attempt_[lane], shortest(clock), error - error == 0.0 && lost_[lane] == 0, error, factor};
    attempt.refused_before = clock.refused;
    clock.hits.clear();
    if (!attempt.finite || error > 1.0) return attempt;
    if (may_fall) attempt.fall = find_falls(lane);
    if (attempt.fall > 1.0 && clock.target >= 0 && clock.hits.empty()) {
        // It stopped short of the surface that was its target.
        const double side = active_.sides.at(clock.target)[lane];
        if (side * rates_after_.at(clock.target)[lane] < 0 && active_.is_near(lane, trial_, clock.target)) clock.hits.push_back(clock.target);
    }
    attempt.arrived = attempt.fall > 1.0 && !clock.hits.empty();
    if (attempt.arrived) find_neighbours(lane);
    if (active_.slides(lane)) {
        attempt.part = active_.part(lane, attempt.length);
        attempt.lets_go = active_.lets_go(lane);
        attempt.turn = active_.turn(lane);
        attempt.exit = active_.exit(lane);
        attempt.usual = std::max(clock.resume, attempt.length);
    }
    return attempt;
}

// Returns the part of the attempt at which the first height falls through its surface, and makes that surface the target. Heights that end so near their
// surface that the network is on it do not count: they are the hits. So are surfaces through which heights fall at the beginning of the attempt.
template <AnyLanes V>
double Flow<V>::find_falls(int lane) {
    Clock& clock = clocks_[lane];
    const double h = attempt_[lane];
    double first = std::numeric_limits<double>::infinity();
    std::vector<std::int64_t>& near = clock.hits;
    for (std::int64_t n = 0; n < std::int64_t(run_.task.samples) * active_.map().per_sample; ++n) {
        const double side = active_.sides.at(n)[lane];
        if (side == 0) continue;
        const double before = side * heights_.at(n)[lane], after = side * heights_after_.at(n)[lane];
        const double rate = side * h * rates_.at(n)[lane], rate_after = side * h * rates_after_.at(n)[lane];
        if (after >= 0 && before + rate / 3 >= 0 && after - rate_after / 3 >= 0) continue;
        const Fall fall = find_fall(before, rate, after, rate_after);
        if (!(fall.at <= 1.0) || !active_.is_beyond_rounding(lane, trial_, n, fall.depth)) continue;
        // A squared hinge bends so little just beyond its threshold that a network may rest there, held back by its small residual.
        if (active_.bends(n) && active_.is_near(lane, trial_, n)) continue;
        if (after < 0 && fall.at * h > shortest(clock) && active_.is_near(lane, trial_, n)) {
            near.push_back(n);
            continue;
        }
        if (fall.at < first) first = fall.at, clock.target = n;
    }
    if (first > 1.0) return first;
    near.clear();
    if (first * h <= shortest(clock)) near.push_back(clock.target);
    return first;
}

// Adds to the hits all surfaces that the network would reach almost at once and from which the tolerance cannot tell it: such as those of units whose weights
// are proportional.
template <AnyLanes V>
void Flow<V>::find_neighbours(int lane) {
    Clock& clock = clocks_[lane];
    constexpr double next_to_no_time = 1e-6;
    const std::size_t hits = clock.hits.size();
    for (std::int64_t n = 0; n < std::int64_t(run_.task.samples) * active_.map().per_sample; ++n) {
        const double side = active_.sides.at(n)[lane], height = side * heights_after_.at(n)[lane], rate = side * rates_after_.at(n)[lane];
        if (side == 0 || !(height > 0 && height < -rate * next_to_no_time * attempt_[lane])) continue;
        if (std::find(clock.hits.begin(), clock.hits.begin() + std::ptrdiff_t(hits), n) == clock.hits.begin() + std::ptrdiff_t(hits) &&
            active_.is_near(lane, trial_, n))
            clock.hits.push_back(n);
    }
}

template <AnyLanes V>
void Flow<V>::take(int lane) {
    Clock& clock = clocks_[lane];
    const double h = attempt_[lane], left = method_.until - clock.now;
    ++clock.accepted;
    clock.left = clock.now;
    taken_[lane] = h;
    clock.now = h == left ? method_.until : clock.now + h;
    clock.idle = clock.now > clock.left + 8 * shortest(clock) ? 0 : clock.idle;
    active_.advance(lane);
}

template <AnyLanes V>
void Flow<V>::give_up(int lane, GaveUp reason) {
    cohort_.stop(lane, Status::exhausted, clocks_[lane].accepted);
    clocks_[lane].gave_up = reason;
}

// theta <- theta', k_1 <- k_7, and likewise the heights, in the lanes that took their attempt.
template <AnyLanes V>
void Flow<V>::move() {
    const V taken = V::load(taken_), zero = 0;
    const auto go_on = [&](Pack<V>& from, const Pack<V>& to, std::int64_t count) {
        for (std::int64_t n = 0; n < count; ++n) where_less(zero, taken, to[n], from[n]).store(from.at(n));
    };
    go_on(cohort_.parameters, trial_, run_.network.parameters);
    go_on(k_[0], k_[tsitouras::stages - 1], run_.network.parameters);
    const std::int64_t kinks = std::int64_t(run_.task.samples) * active_.map().per_sample;
    go_on(heights_, heights_after_, kinks);
    go_on(rates_, rates_after_, kinks);
}

// Puts lanes that slide back onto their surfaces, and decides how lanes continue that have reached one.
template <AnyLanes V>
bool Flow<V>::settle(Monitor& monitor) {
    Pack<V>& theta = cohort_.parameters;
    alignas(64) T changed[L];
    bool some = false;
    for (int lane = 0; lane < L; ++lane) {
        changed[lane] = 0;
        if (taken_[lane] > 0 && active_.slides(lane)) active_.put_back(lane, theta);
        if (taken_[lane] > 0 && !active_.rests(lane, theta)) give_up(lane, GaveUp::undetermined);
        if (!settles_[lane] || cohort_.lanes.status[lane] != Status::ok) continue;
        changed[lane] = 1;
        some = true;
        const bool determined = ++clocks_[lane].idle < most_idle && active_.settle(lane, theta, k_[0], clocks_[lane].hits, clocks_[lane].idle > 3);
        if (!determined) give_up(lane, GaveUp::undetermined);
    }
    if (!some) return true;
    if (!find_heights(theta, k_[0], heights_after_, rates_after_, monitor)) return false;
    const V here = V::load(changed), zero = 0;
    for (std::int64_t n = 0; n < std::int64_t(run_.task.samples) * active_.map().per_sample; ++n) {
        where_less(zero, here, heights_after_[n], heights_[n]).store(heights_.at(n));
        where_less(zero, here, rates_after_[n], rates_[n]).store(rates_.at(n));
    }
    return true;
}

}  // namespace shoal
