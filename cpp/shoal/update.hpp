// One step of descent for some parameters, with the gradient g at theta and a rate that may follow a schedule:
//
//   plain       theta <- theta - rate g
//   momentum    v <- beta v + g,   theta <- theta - rate v               (heavy ball)
//               v <- beta v + g,   theta <- theta - rate (g + beta v)    (Nesterov)
//
// v is 0 at initialisation.
#pragma once

#include "shoal/start.hpp"

#include <optional>

namespace shoal {

// How networks move, the same for all of them but for their rates.
template <class T>
struct Moves {
    std::vector<T> rates;     // one for all networks, or one per given network
    std::vector<T> schedule;  // factors of the rates, one per step; empty: 1
    T momentum = 0;           // beta; 0: plain
    bool nesterov = false;
    std::optional<Start> velocity = {};  // explicit v from which training resumes

    // The rate of the network at this position among the given ones, at one of its steps.
    T rate(std::int64_t position, std::int64_t step) const {
        const T rate = rates[rates.size() == 1 ? 0 : position];
        return schedule.empty() ? rate : rate * schedule[step];
    }
};

// The step of a pack of numbers.
template <AnyLanes V>
struct Update {
    V minus_rate, momentum = V(0);
    bool nesterov = false;

    EIGEN_ALWAYS_INLINE V operator()(V theta, V slope) const { return fma(minus_rate, slope, theta); }
    EIGEN_ALWAYS_INLINE V operator()(V theta, V slope, V& velocity) const {
        velocity = fma(momentum, velocity, slope);
        return fma(minus_rate, nesterov ? fma(momentum, velocity, slope) : velocity, theta);
    }
};

}  // namespace shoal
