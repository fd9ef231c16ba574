// What a training by descent is asked for, and how many networks of a pack are worth a pack.
#pragma once

#include "shoal/stop.hpp"
#include "shoal/update.hpp"

#include <algorithm>

namespace shoal {

template <AnyLanes V>
class Descent;

template <class T>
struct DescentMethod {
    Moves<T> moves;
    std::int64_t steps;
    std::vector<std::int64_t> record_steps;  // increasing, 0..steps
    StopRules stop = {};
    bool retire = true;  // whether networks that are done leave before their last step; changes the time, never a bit
    int leaving = 0;  // when so many networks of an empty queue are left in a pack, or fewer, they train alone; likewise. -1: as many as `most_alone` says

    // Whether a step also checks whether networks still move: one in 32, where the rate stays the same.
    bool watches(std::int64_t step) const { return retire && moves.schedule.empty() && step % 32 == 31; }

    template <AnyLanes V>
    using Trainer = Descent<V>;
};

// The most networks, of so many parameters x samples, that train faster one after the other, alone (alone.hpp), than together in a pack of `lanes` that has room
// for more. A step of a pack takes the same time however many it holds. Fitted on Emerald Rapids to 15 networks in both dtypes, with AVX2 and AVX-512.
inline int most_alone(double work, int lanes, int registers = 1) {
    return std::min(lanes * registers - 1, int(registers * (work + 300) / (450 + work * (1.1 / lanes + 0.03))));
}

}  // namespace shoal
