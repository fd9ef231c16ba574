// What may be recorded of networks, and the caller's arrays (network, time, ...) that it goes to.
#pragma once

#include "shoal/pack.hpp"

#include <limits>

namespace shoal {

enum class Status : std::int8_t { ok, diverged, exhausted };  // exhausted: the flow took all the steps it may

// Where each measure of a set of samples goes; null where it was not asked for.
template <class T>
struct SampleRecord {
    T *loss = nullptr, *error = nullptr, *soft_error = nullptr;  // (networks, times)
    T* margin = nullptr;                                         // (networks, times, samples)
    bool wanted() const { return loss || error || soft_error || margin; }
};

// Where all measures go: those of the training samples, of the test samples, of the hidden units, and of the parameters.
template <class T>
struct Record : SampleRecord<T> {
    std::int64_t times = 0;  // how many
    SampleRecord<T> test;
    T *layer_norm = nullptr, *balance = nullptr;         // (networks, times, layers), (networks, times, hidden units)
    T *active = nullptr, *unit_active = nullptr;         // (networks, times, hidden layers), (networks, times, hidden units)
    bool* pattern = nullptr;                             // (networks, times, hidden units, samples)
    std::vector<T*> trajectory, trajectory_biases;       // (networks, times, outputs, inputs), (networks, times, outputs)
    std::vector<T*> weights, biases;                     // of the last step: (networks, outputs, inputs), (networks, outputs)
    Status* status = nullptr;                            // (networks,)
    std::int64_t* stopped_at = nullptr;                  // (networks,): number of steps after which it diverged or gave up, -1 where it did not
    double* stopped_time = nullptr;                      // of a flow (networks,): the time of that, NaN where it did not
    std::int64_t *accepted = nullptr, *rejected = nullptr;  // of a flow (networks,): steps taken, steps tried again
    bool looks_at_units() const { return active || unit_active || pattern; }
    bool looks_at_samples() const { return this->wanted() || looks_at_units(); }
};

// Which networks the lanes of a pack are, and how they fare.
template <AnyLanes V>
struct PackLanes {
    std::int64_t position = 0;  // of the first lane's network in the caller's arrays
    int used = 0;               // lanes that are wanted
    Status status[V::count];
    std::int64_t stopped_at[V::count];
};

// One sight of a pack: each lane's record number `times[lane]` of `records`; none where negative.
template <AnyLanes V>
struct Sight {
    const PackLanes<V>* lanes = nullptr;
    std::int64_t records = 0, times[V::count];

    // Writes one measure's item of every wanted lane, `each` items a network and time.
    template <class Number>
    void put(Number* array, std::int64_t each, std::int64_t item, V value) const {
        if (!array) return;
        alignas(64) typename V::Scalar numbers[V::count];
        value.store(numbers);
        for (int lane = 0; lane < lanes->used; ++lane)
            if (times[lane] >= 0) array[slot(lane) * each + item] = Number(numbers[lane]);
    }

    // Lanes that diverged get NaN, or false.
    template <class Number>
    void forget(Number* array, std::int64_t each) const {
        constexpr Number nothing = std::is_same_v<Number, bool> ? Number(0) : std::numeric_limits<Number>::quiet_NaN();
        if (!array) return;
        for (int lane = 0; lane < lanes->used; ++lane)
            if (times[lane] >= 0 && lanes->status[lane] != Status::ok) std::fill_n(array + slot(lane) * each, each, nothing);
    }

  private:
    std::int64_t slot(int lane) const { return (lanes->position + lane) * records + times[lane]; }
};

}  // namespace shoal
