// The records of Flow: theta at any time within a step by the continuous extension, and the records that are due.
#pragma once

#include "shoal/flow.hpp"

namespace shoal {

// seen = theta at a fraction x of an attempt of this length.
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

// Makes the records within the steps just taken, one per lane at a time.
template <AnyLanes V>
bool Flow<V>::record_taken(Monitor& monitor) {
    for (;;) {
        std::int64_t times[L];
        alignas(64) double fraction[L];
        bool some = false;
        for (int lane = 0; lane < L; ++lane) {
            Clock& clock = clocks_[lane];
            const std::int64_t next = clock.next_record;
            const bool due = taken_[lane] > 0 && next < run_.record.times && method_.record_times[next] <= clock.now;
            times[lane] = due ? next : -1;
            fraction[lane] = due ? std::min(1.0, (method_.record_times[next] - clock.left) / taken_[lane]) : 0.0;
            clock.next_record += due;
            some |= due;
        }
        if (!some) return true;
        interpolate(fraction, taken_);
        if (!look(times, seen_, monitor)) return false;
    }
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
