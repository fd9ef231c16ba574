// The records of Flow: theta at any time within a step by the continuous extension, and the records that are due.
#pragma once

#include "shoal/flow.hpp"

namespace shoal {

// seen = theta at a fraction x of the step just taken, in lanes whose `due` is not 0.
template <AnyLanes V>
void Flow<V>::interpolate(const T* due, const T* fraction) {
    const V wanted = V::load(due), x = V::load(fraction), h = V::load(taken_), zero = 0;
    V weight[tsitouras::stages];
    weight[0] = h * x * fma(fma(fma(V(tsitouras::first[3]), x, V(tsitouras::first[2])), x, V(tsitouras::first[1])), x, V(tsitouras::first[0]));
    for (int j = 1; j < tsitouras::stages; ++j) {
        const double* c = tsitouras::others[j - 1];
        weight[j] = h * x * x * fma(fma(V(c[2]), x, V(c[1])), x, V(c[0]));
    }
    for (int n = 0; n < run_.network.parameters; ++n) {
        V sum = weight[0] * k_[0][n];
        for (int j = 1; j < tsitouras::stages; ++j) sum = fma(weight[j], k_[j][n], sum);
        where_less(zero, wanted, cohort_.parameters[n] + sum, seen_[n]).store(seen_.at(n));
    }
}

// Makes a record by a forward pass of its own, with the gates that follow from the parameters.
template <AnyLanes V>
bool Flow<V>::look(const std::int64_t (&times)[L], const Pack<V>& parameters, Monitor& monitor) {
    gradient_.hold(nullptr);
    const bool whole = recorder_.look(gradient_, cohort_.lanes, times, parameters, monitor);
    gradient_.hold(active_.map().any() ? &active_.held : nullptr);
    return whole;
}

// Makes the records of fresh networks at time 0, if there are any.
template <AnyLanes V>
bool Flow<V>::record_start(Monitor& monitor) {
    if (method_.record_times.empty() || method_.record_times[0] > 0) return true;
    std::int64_t times[L];
    for (int lane = 0; lane < L; ++lane) {
        times[lane] = fresh_[lane] != 0 ? 0 : -1;
        if (fresh_[lane] != 0) clocks_[lane].next_record = 1;
    }
    return look(times, cohort_.parameters, monitor);
}

// Takes theta at the records within the steps just taken. Records that wait are made first, if a lane has another one.
template <AnyLanes V>
bool Flow<V>::record_taken(Monitor& monitor) {
    for (;;) {
        std::int64_t next[L];
        alignas(64) T due[L], fraction[L];
        bool some = false, full = false;
        for (int lane = 0; lane < L; ++lane) {
            Clock& clock = clocks_[lane];
            next[lane] = clock.next_record;
            const bool is_due = taken_[lane] > 0 && next[lane] < run_.record.times && method_.record_times[next[lane]] <= clock.now;
            due[lane] = is_due;
            fraction[lane] = is_due ? std::min(1.0, (method_.record_times[next[lane]] - clock.left) / taken_[lane]) : 0.0;
            clock.next_record += is_due;
            some |= is_due;
            full |= is_due && waiting_[lane] >= 0;
        }
        if (!some) return true;
        if (full && !record_waiting(monitor)) return false;
        interpolate(due, fraction);
        for (int lane = 0; lane < L; ++lane)
            if (due[lane] != 0) waiting_[lane] = next[lane];
    }
}

// Makes the records that wait. Their networks were well at those times, whatever has become of them since.
template <AnyLanes V>
bool Flow<V>::record_waiting(Monitor& monitor) {
    if (std::none_of(waiting_, waiting_ + L, [](std::int64_t record) { return record >= 0; })) return true;
    Status now[L];
    std::copy_n(cohort_.lanes.status, L, now);
    for (int lane = 0; lane < L; ++lane)
        if (waiting_[lane] >= 0) cohort_.lanes.status[lane] = Status::ok;
    if (!look(waiting_, seen_, monitor)) return false;
    std::copy_n(now, L, cohort_.lanes.status);
    std::fill_n(waiting_, L, std::int64_t(-1));
    return true;
}

// Fills the records that a stopped lane never reached: NaN, because it diverged or was exhausted.
template <AnyLanes V>
bool Flow<V>::record_stopped(Monitor& monitor) {
    std::int64_t times[L];
    bool some = false;
    for (int lane = 0; lane < L; ++lane) {
        const std::int64_t next = clocks_[lane].next_record;
        const bool due = cohort_.lanes.wanted(lane) && cohort_.lanes.status[lane] != Status::ok && next < run_.record.times;
        times[lane] = due ? next : -1;
        some |= due;
    }
    if (some && !look(times, cohort_.parameters, monitor)) return false;
    if (some) recorder_.hold();
    return true;
}

}  // namespace shoal
