// The parts of Descent: its steps, and what happens between two steps if a lane has something to record, or ends.
#pragma once

#include "shoal/descent.hpp"

#include <numeric>

namespace shoal {

// Lanes out of step take their records at different steps, each at the cost of a forward pass of the pack. If records are few, networks come at once. If
// records are many and evenly spaced, networks come a whole number of spacings after one another, so that their records still coincide. Else they come all
// together. The costs compared are fractions of all steps: of records apart, and of lanes that wait for half a spacing.
template <AnyLanes V>
std::int64_t Descent<V>::refill_period(const Run<T>& run, const DescentMethod<T>& method) {
    const std::vector<std::int64_t>& records = method.record_steps;
    const double steps = double(std::max<std::int64_t>(method.steps, 1)), seen = run.test ? 1.0 + double(run.test->samples) / run.task.samples : 1.0;
    const double passes = 0.4 * seen + (run.record.gradient_norm ? 1.0 : 0.0);
    const double apart = passes * double(records.size() + 1) * L / steps;
    std::int64_t spacing = 0;
    for (const std::int64_t record : records) spacing = std::gcd(spacing, record - records.front());
    const bool even = spacing > 0 && steps / double(spacing) <= 2.0 * double(records.size());
    if (apart <= (even ? 0.5 * double(spacing) / steps : 0.1)) return 1;
    return even ? spacing : 0;
}

template <AnyLanes V>
void Descent<V>::train(Queue& queue, Monitor& monitor) {
    clock_ = attend_at_ = 0, last_come_ = false;
    for (int lane = 0; lane < L; ++lane) leave(lane);
    while (true) {
        if (clock_ >= attend_at_) {
            if (!attend(queue, monitor)) return;
            attend_at_ = next_attendance(), record_at_ = next_record();
        }
        records_ = clock_ >= record_at_;
        if (records_ && !begin_records(monitor)) return;
        if (method_.stop.any()) stops_.clear();
        if (step(method_.watches(clock_), monitor)) continue;
        if (!met_) return;
        let_go_of_those_who_meet_a_rule();  // before their step; the others then take theirs
    }
}

// Takes one step in all lanes. Returns false if it was not taken, because a network meets a rule or the monitor says stop.
template <AnyLanes V>
bool Descent<V>::step(bool watchful, Monitor& monitor) {
    for (int lane = 0; !method_.moves.schedule.empty() && lane < L; ++lane)
        if (cohort_.lanes.wanted(lane)) set_rate(lane);
    if (method_.moves.momentum == 0) return watchful ? step<true, false>(monitor) : step<false, false>(monitor);
    return watchful ? step<true, true>(monitor) : step<false, true>(monitor);
}

template <AnyLanes V>
template <bool watchful, bool with_velocity>
bool Descent<V>::step(Monitor& monitor) {
    Move<watchful, with_velocity> move{cohort_.parameters.at(0), velocity_.at(0), {V::load(minus_rates_), V(method_.moves.momentum), method_.moves.nesterov}};
    if (!gradient_(cohort_.parameters, [&](int first, int count, const Gradient<V>& pass) { return see(first, count, pass, monitor); }, move)) return false;
    const bool lost = gathered(gather_not_finite(move.not_finite, gradient_.lost()));
    bool leave = lost && let_go_of_those_who_diverged(gradient_.lost());  // judged by the loss before the step, which may be recorded now
    if (records_) end_records();
    ++clock_;
    monitor.stepped(wanted_);
    if (lost) leave |= let_go_of_those_who_diverged(move.not_finite);
    if (leave) attend_at_ = clock_;
    if (watchful && let_go_of_those_at_rest(move.moved)) attend_at_ = clock_;
    return true;
}

// Looks at a block of the forward pass for records and rules. After the last block it is known whether a network meets a rule; if so, returns false, and the
// step is not taken.
template <AnyLanes V>
bool Descent<V>::see(int first, int count, const Gradient<V>& pass, const Monitor& monitor) {
    met_ = false;
    if (records_ && run_.record.looks_at_samples()) recorder_.see(first, count, pass);
    if (method_.stop.any()) {
        stops_.see(first, count, pass);
        for (int lane = 0; first + count == run_.task.learnt && lane < L; ++lane) met_ |= cohort_.lanes.wanted(lane) && stops_.status(lane) != Status::ok;
    }
    return !met_ && !monitor.stopped();
}

// Ends the networks that are done, and takes others into their lanes. Returns false if none are left, or the monitor says stop.
template <AnyLanes V>
bool Descent<V>::attend(Queue& queue, Monitor& monitor) {
    bool some = true;
    while (some) {
        if (monitor.stopped() || !finish(monitor) || !fill(queue, monitor)) return false;
        some = false;  // a network that comes may end at once
        for (int lane = 0; lane < L; ++lane) some |= cohort_.lanes.wanted(lane) && (leaves_[lane] || step_of(lane) == method_.steps);
    }
    if (last_come_ && cohort_.lanes.wanted() <= few_ && !go_on_alone(monitor)) return false;
    wanted_ = cohort_.lanes.wanted();
    alignas(64) T trained[L];
    for (int lane = 0; lane < L; ++lane) trained[lane] = T(cohort_.lanes.wanted(lane));
    gradient_.train_in(gate_where_less(V(0), V::load(trained)));
    return wanted_ > 0;
}

// Writes all remaining records of the networks that leave or have taken their last step: records that they never reached equal the present.
template <AnyLanes V>
bool Descent<V>::finish(Monitor& monitor) {
    std::int64_t times[L];
    bool some = false;
    for (int lane = 0; lane < L; ++lane) {
        times[lane] = -1;
        if (!cohort_.lanes.wanted(lane)) continue;
        leaves_[lane] |= step_of(lane) == method_.steps;
        some |= leaves_[lane];
        if (leaves_[lane] && next_[lane] < run_.record.times) times[lane] = next_[lane];
    }
    if (!some) return true;
    if (!look(times, monitor)) return false;
    for (int lane = 0; lane < L; ++lane) {
        if (!leaves_[lane]) continue;
        if (method_.stop.any() && stops_.status(lane) != Status::ok) cohort_.stop(lane, stops_.status(lane), step_of(lane));
        recorder_.write_end(cohort_.lanes, lane, cohort_.parameters, velocity_);
        monitor.stepped(method_.steps - step_of(lane));
        leave(lane);
    }
    return true;
}

template <AnyLanes V>
void Descent<V>::leave(int lane) {
    cohort_.leave(lane);
    leaves_[lane] = false;
    due_[lane] = never;
    minus_rates_[lane] = 0;
}

// Takes networks from the queue into free lanes, when it is time.
template <AnyLanes V>
bool Descent<V>::fill(Queue& queue, Monitor& monitor) {
    const int free = L - cohort_.lanes.wanted();
    if (free == L) origin_ = clock_;
    if (free == 0 || last_come_ || (free < L && (period_ == 0 || (clock_ - origin_) % period_ != 0))) return true;
    const auto [first, count] = queue.take(free);
    last_come_ = count < free;
    alignas(64) T fresh[L] = {};
    for (int lane = 0, taken = 0; lane < L && taken < count; ++lane) {
        if (cohort_.lanes.wanted(lane)) continue;
        cohort_.begin_lane(lane, first + taken++);
        fresh[lane] = 1;
        begun_[lane] = clock_;
        next_[lane] = 0;
        set_due(lane);
        if (method_.steps > 0) set_rate(lane);
        if (method_.moves.momentum != 0) cohort_.begin_velocity(lane, method_.moves.velocity, velocity_);  // an empty lane gathers one, too
    }
    if (count == 0) return true;
    const V lanes = V::load(fresh);
    if (!gradient_.centre(cohort_.parameters, lanes, [&] { return !monitor.stopped(); }) || !recorder_.centre(cohort_.parameters, lanes, monitor)) return false;
    for (int lane = 0; lane < L; ++lane) {
        if (fresh[lane] == 0) continue;
        cohort_.resume_lane(lane);
        leaves_[lane] = method_.retire && cohort_.lanes.status[lane] != Status::ok;
    }
    return true;
}

// Trains the networks that are left to their end, outside of the pack. Returns false if the monitor says stop.
template <AnyLanes V>
bool Descent<V>::go_on_alone(Monitor& monitor) {
    for (int lane = 0; lane < L; ++lane) {
        if (!cohort_.lanes.wanted(lane)) continue;
        if (!alone_) alone_ = std::make_unique<alone::Alone<T>>(run_, method_);
        alone::Straggler<T> straggler{cohort_.lanes.network[lane], step_of(lane), next_[lane], {}, {}};
        for (int n = 0; n < run_.network.parameters; ++n) {
            straggler.parameters.push_back(cohort_.parameters.lane(n, lane));
            if (method_.moves.momentum != 0) straggler.velocity.push_back(velocity_.lane(n, lane));
        }
        alone_->go_on(straggler, monitor);
        if (monitor.stopped()) return false;
        leave(lane);
    }
    return true;
}

// A forward pass of its own: for the records of lanes that leave, present and later; for the rules; and to see whether the loss after the last step is finite.
template <AnyLanes V>
bool Descent<V>::look(const std::int64_t (&times)[L], Monitor& monitor) {
    const bool rules = method_.stop.any(), records = std::any_of(times, times + L, [](std::int64_t time) { return time >= 0; });
    if (rules) stops_.clear();
    if (records && !recorder_.begin(cohort_.lanes, times, cohort_.parameters, monitor)) return false;
    const bool looks = records && run_.record.looks_at_samples();
    const auto see_block = [&](int first, int count, const Gradient<V>& pass) {
        if (looks) recorder_.see(first, count, pass);
        if (rules) stops_.see(first, count, pass);
        return !monitor.stopped();
    };
    bool ends = false;
    for (int lane = 0; lane < L; ++lane) ends |= leaves_[lane] && step_of(lane) == method_.steps;
    if (looks || rules || ends) {
        if (!gradient_.forward_only(cohort_.parameters, see_block)) return false;
        alignas(64) T lost[L];
        gradient_.lost().store(lost);
        for (int lane = 0; lane < L; ++lane)
            if (leaves_[lane] && lost[lane] != 0) cohort_.stop(lane, Status::diverged, step_of(lane));
    }
    if (records) recorder_.end(), recorder_.hold();
    return true;
}

// Begins the records of lanes whose step is to be recorded, while the parameters are still those of that step.
template <AnyLanes V>
bool Descent<V>::begin_records(const Monitor& monitor) {
    for (int lane = 0; lane < L; ++lane) times_[lane] = due_[lane] == clock_ ? next_[lane] : -1;
    return recorder_.begin(cohort_.lanes, times_, cohort_.parameters, monitor);
}

template <AnyLanes V>
void Descent<V>::end_records() {
    for (int lane = 0; lane < L; ++lane)
        if (times_[lane] >= 0) ++next_[lane], set_due(lane);
    record_at_ = next_record();  // before the records' last stores, behind which these would wait
    recorder_.end();
}

template <AnyLanes V>
void Descent<V>::set_due(int lane) {
    due_[lane] = next_[lane] < run_.record.times ? begun_[lane] + method_.record_steps[next_[lane]] : never;
}

template <AnyLanes V>
std::int64_t Descent<V>::next_record() const {
    std::int64_t next = never;
    for (int lane = 0; lane < L; ++lane) next = std::min(next, due_[lane]);
    return next;
}

// When a network next takes its last step, or the next networks may come; it is just after `attend`.
template <AnyLanes V>
std::int64_t Descent<V>::next_attendance() const {
    const bool waits = wanted_ < L && !last_come_ && period_ > 0;
    std::int64_t next = waits ? clock_ + period_ - (clock_ - origin_) % period_ : never;
    for (int lane = 0; lane < L; ++lane)
        if (cohort_.lanes.wanted(lane)) next = std::min(next, begun_[lane] + method_.steps);
    return next;
}

template <AnyLanes V>
void Descent<V>::let_go_of_those_who_meet_a_rule() {
    for (int lane = 0; lane < L; ++lane) {
        if (!cohort_.lanes.wanted(lane) || stops_.status(lane) == Status::ok) continue;
        cohort_.stop(lane, stops_.status(lane), step_of(lane));
        leaves_[lane] = true;
    }
    attend_at_ = clock_;
}

// Ends the networks in lanes where `lost` is not 0. No other lane reads their numbers.
template <AnyLanes V>
bool Descent<V>::let_go_of_those_who_diverged(V lost) {
    alignas(64) T gathered[L];
    lost.store(gathered);
    bool some = false;
    for (int lane = 0; lane < L; ++lane) {
        if (gathered[lane] == 0 || !cohort_.lanes.wanted(lane)) continue;
        cohort_.stop(lane, Status::diverged, step_of(lane));
        some |= leaves_[lane] = method_.retire;
    }
    return some;
}

template <AnyLanes V>
bool Descent<V>::let_go_of_those_at_rest(V moved) {
    using Bits = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;  // compared as bits, because -0 counts as moved
    alignas(64) T gathered[L];
    moved.store(gathered);
    bool some = false;
    for (int lane = 0; lane < L; ++lane) {
        if (std::bit_cast<Bits>(gathered[lane]) != 0 || !cohort_.lanes.wanted(lane)) continue;
        some = leaves_[lane] = true;
    }
    return some;
}

}  // namespace shoal
