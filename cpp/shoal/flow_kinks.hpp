// What Flow does about kinks: it locates them, goes to them and across, slides along them (sliding.hpp) and leaves them.
#pragma once

#include "shoal/flow.hpp"

namespace shoal {

template <AnyLanes V>
bool Flow<V>::stuck(int lane) {
    if (!clock_.slid[lane] || clock_.tried[lane] < clock_.checked[lane] + 1000) return false;
    const bool stuck = clock_.now[lane] - clock_.checked_at[lane] < 1e-3 * method_.until && clock_.checked[lane] > 0;
    clock_.checked[lane] = clock_.tried[lane];
    clock_.checked_at[lane] = clock_.now[lane];
    return stuck;
}

template <AnyLanes V>
void Flow<V>::approach(int lane) {
    const double way = sliding_.time_to_kink(lane, cohort_.parameters, k_[0]);
    if (!(way < clock_.home[lane])) {
        clock_.length[lane] = clock_.home[lane];
        clock_.home[lane] = 0.0;
        return;
    }
    const bool across = clock_.leaps[lane] = 2 * way * clock_.jump[lane] <= 0.25;
    clock_.length[lane] = std::max(across ? 2 * way : clock_.nearer[lane] * way, 4 * shortest());
}

template <AnyLanes V>
bool Flow<V>::leap(Monitor& monitor) {
    bool some = false;
    for (int lane = 0; lane < L; ++lane) {
        if (!clock_.leaps[lane] || clock_.attempt[lane] == 0) continue;
        some = true;
        for (int n = 0; n < run_.network.parameters; ++n) {
            const T slope = k_[0].lane(n, lane);
            for (int stage = 1; stage < tsitouras::stages - 1; ++stage) k_[stage].lane(n, lane) = slope;
            trial_.lane(n, lane) = cohort_.parameters.lane(n, lane) + clock_.attempt[lane] * slope;
        }
    }
    return !some || slopes(trial_, k_.back(), monitor, true);
}

template <AnyLanes V>
bool Flow<V>::locate(const bool (&kinked)[L], const T* jump, Monitor& monitor) {
    alignas(64) T low[L] = {}, high[L], middle[L], before[L], here[L];
    std::fill_n(high, L, 1.0);
    pattern_before_.store(before);
    const auto wide = [&](int lane) {
        return kinked[lane] && (high[lane] - low[lane]) * jump[lane] > 0.25 && (high[lane] - low[lane]) * clock_.attempt[lane] > shortest();
    };
    for (;;) {
        bool some = false;
        for (int lane = 0; lane < L; ++lane) {
            middle[lane] = 0.5 * (low[lane] + high[lane]);
            some |= wide(lane);
        }
        if (!some) break;
        if (!pattern_at(middle, monitor)) return false;
        pattern_.store(here);
        for (int lane = 0; lane < L; ++lane)
            if (wide(lane)) (here[lane] == before[lane] ? low : high)[lane] = middle[lane];
    }
    for (int lane = 0; lane < L; ++lane)
        if (kinked[lane] && clock_.home[lane] == 0) aim_at_kink(lane, low[lane], high[lane]);
    return true;
}

template <AnyLanes V>
void Flow<V>::aim_at_kink(int lane, double low, double high) {
    const double h = clock_.attempt[lane], width = std::max(2 * (high - low) * h, shortest());
    if (clock_.crossing[lane] == 0.0) clock_.resume[lane] = h;
    const bool at_once = low * h <= width;
    clock_.crossing[lane] = width;
    clock_.length[lane] = at_once ? std::max(high * h, shortest()) : low * h;
}

template <AnyLanes V>
void Flow<V>::watch(int lane, bool good, bool switched, double jump) {
    const double h = clock_.attempt[lane];
    if (clock_.home[lane] > 0) {
        clock_.nearer[lane] = good ? 0.95 : 0.5 * clock_.nearer[lane];
        if (!good) clock_.jump[lane] = std::max({clock_.jump[lane], jump / h, 1.0 / h});
        if (good && switched) {
            clock_.length[lane] = clock_.home[lane];
            clock_.home[lane] = 0.0;
        }
        return;
    }
    const bool well = good && (switched || clock_.crossing[lane] == 0 || !clock_.slid[lane]);
    clock_.misses[lane] = well ? 0 : clock_.misses[lane] + 1;
    if (clock_.misses[lane] < patience) return;
    clock_.home[lane] = clock_.crossing[lane] > 0 ? clock_.resume[lane] : h;
    clock_.nearer[lane] = 0.95;
    clock_.jump[lane] = jump / h;
    clock_.crossing[lane] = 0.0;
    clock_.misses[lane] = 0;
}

template <AnyLanes V>
void Flow<V>::shorten(int lane, double part) {
    const double h = clock_.attempt[lane];
    if (clock_.after_release[lane] == 0.0) clock_.after_release[lane] = h;
    clock_.crossing[lane] = 0.0;
    clock_.length[lane] = std::max(part * h, shortest());
}

template <AnyLanes V>
void Flow<V>::slide(int lane, bool switched) {
    sliding_.advance(lane);
    bool room = true;
    const bool attracted = sliding_.attracts(lane);
    clock_.changed[lane] = switched && sliding_.enter(lane, cohort_.parameters, trial_, k_.back(), room);
    clock_.slid[lane] |= clock_.changed[lane];
    if (!room || !attracted) cohort_.stop(lane, Status::exhausted, clock_.accepted[lane]);
}

template <AnyLanes V>
bool Flow<V>::settle(Monitor& monitor) {
    Pack<V>& theta = cohort_.parameters;
    constexpr int most = 32;
    for (int round = 0; round < most; ++round) {
        bool some = false;
        for (int lane = 0; lane < L; ++lane) {
            if (clock_.taken[lane] == 0) continue;
            if (sliding_.slides(lane) && (round == 0 ? !clock_.changed[lane] : clock_.changed[lane])) {
                const bool released = sliding_.release(lane, theta);
                clock_.changed[lane] = released;
                if (released && clock_.after_release[lane] > 0) clock_.length[lane] = std::max(clock_.length[lane], clock_.after_release[lane]);
                if (released) clock_.crossing[lane] = clock_.after_release[lane] = 0.0;
            } else if (round > 0) {
                clock_.changed[lane] = false;
            }
            if (sliding_.slides(lane) && (round == 0 || clock_.changed[lane])) sliding_.put_back(lane, theta);
            some |= clock_.changed[lane];
        }
        if (!some) return true;
        const V end = pattern_, met = met_;
        if (!slopes(theta, k_[1], monitor, true)) return false;
        alignas(64) T changed[L];
        for (int lane = 0; lane < L; ++lane) {
            changed[lane] = clock_.taken[lane] > 0 && clock_.changed[lane];
            if (changed[lane] > 0) sliding_.advance(lane);
        }
        const V zero = 0, here = V::load(changed);
        for (int n = 0; n < run_.network.parameters; ++n) where_less(zero, here, k_[1][n], k_[0][n]).store(k_[0].at(n));
        pattern_before_ = where_less(zero, here, pattern_, pattern_before_);
        met_before_ = where_less(zero, here, met_, met_before_);
        pattern_ = end, met_ = met;
    }
    return true;
}

}  // namespace shoal
