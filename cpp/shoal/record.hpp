// What may be recorded of networks, and the caller's arrays (network, time, ...) that receive it.
#pragma once

#include "shoal/pack.hpp"
#include "shoal/span.hpp"

#include <limits>

namespace shoal {

// exhausted: the flow gave up (GaveUp). fitted, satisfied, dead: descent met that rule and stopped (stop.hpp).
enum class Status : std::int8_t { ok, diverged, exhausted, fitted, satisfied, dead };

// Why a flow was exhausted: it took the maximum number of steps; the resolution of time does not allow shorter steps; gradient flow is not determined beyond
// this point.
enum class GaveUp : std::int8_t { no, steps, resolution, undetermined };

// Whether later records of the network are empty.
constexpr bool is_lost(Status status) { return status == Status::diverged || status == Status::exhausted; }

// Where each measure of a set of samples goes; null if it was not requested.
template <class T>
struct SampleRecord {
    T *loss = nullptr, *error = nullptr, *soft_error = nullptr;  // (networks, times)
    T* margin = nullptr;                                         // (networks, times, samples)
    T *output = nullptr, *residual = nullptr;                    // (networks, times, samples, outputs)
    bool wanted() const { return loss || error || soft_error || margin || output || residual; }
};

// Where all measures go: those of the training samples, the test samples, the hidden units, and the parameters.
template <class T>
struct Record : SampleRecord<T> {
    std::int64_t times = 0;  // how many
    SampleRecord<T> test;
    T *layer_norm = nullptr, *balance = nullptr;         // (networks, times, layers), (networks, times, hidden units)
    T *active = nullptr, *unit_active = nullptr;         // (networks, times, hidden layers), (networks, times, hidden units)
    T *gradient_norm = nullptr, *distance = nullptr;     // (networks, times)
    T* sharpness = nullptr;                              // (networks, times)
    T *tangent_kernel = nullptr, *kernel_distance = nullptr;  // (networks, times, samples, samples), (networks, times)
    bool* pattern = nullptr;                             // (networks, times, hidden units, samples)
    std::vector<T*> trajectory, trajectory_biases;       // (networks, times, outputs, inputs), (networks, times, outputs); in all inputs, as the weights
    std::vector<T*> weights, biases;                     // after the last step: (networks, outputs, inputs), (networks, outputs)
    std::vector<T*> velocity, velocity_biases;           // likewise, where there is momentum
    Status* status = nullptr;                            // (networks,)
    std::int64_t* stopped_at = nullptr;                  // (networks,): number of steps after which it diverged, gave up or met a rule; -1 if it did not
    double* stopped_time = nullptr;                      // of a flow (networks,): the time of that; NaN if it did not
    std::int64_t *accepted = nullptr, *rejected = nullptr;  // of a flow (networks,): steps accepted, steps rejected
    GaveUp* gave_up = nullptr;                           // of a flow (networks,), or null
    bool looks_at_start() const { return distance || kernel_distance; }
    bool looks_at_kernel() const { return tangent_kernel || kernel_distance; }
    bool keeps_weights() const { return !trajectory.empty() || !weights.empty(); }
    bool looks_at_units() const { return active || unit_active || pattern; }
    bool looks_at_samples() const { return this->wanted() || looks_at_units(); }
};

// A measure with one array: its name, the record's field for the address of the array, and the lengths of its axes after (networks, times).
template <class T>
struct Place {
    const char* name;
    T*& (*in)(Record<T>&);
    std::vector<std::int64_t> shape;
};

// All such measures. Left out are those of another type or of several arrays: pattern, trajectory and weights.
template <class T>
std::vector<Place<T>> places(const Network& network, std::int64_t samples, std::int64_t test_samples) {
    const std::int64_t layers = std::int64_t(network.layers.size()), hidden = network.hidden_layers(), units = network.units();
    const auto of_outputs = [&](std::int64_t count) {  // a single output has no axis
        return network.outputs() == 1 ? std::vector{count} : std::vector{count, std::int64_t(network.outputs())};
    };
#define SHOAL_IN(field) [](Record<T>& record) -> T*& { return record.field; }
    return {{"loss", SHOAL_IN(loss), {}},
            {"error", SHOAL_IN(error), {}},
            {"soft_error", SHOAL_IN(soft_error), {}},
            {"margin", SHOAL_IN(margin), {samples}},
            {"output", SHOAL_IN(output), of_outputs(samples)},
            {"residual", SHOAL_IN(residual), of_outputs(samples)},
            {"layer_norm", SHOAL_IN(layer_norm), {layers}},
            {"balance", SHOAL_IN(balance), {units}},
            {"active", SHOAL_IN(active), {hidden}},
            {"unit_active", SHOAL_IN(unit_active), {units}},
            {"gradient_norm", SHOAL_IN(gradient_norm), {}},
            {"distance", SHOAL_IN(distance), {}},
            {"sharpness", SHOAL_IN(sharpness), {}},
            {"tangent_kernel", SHOAL_IN(tangent_kernel), {samples, samples}},
            {"kernel_distance", SHOAL_IN(kernel_distance), {}},
            {"test_loss", SHOAL_IN(test.loss), {}},
            {"test_error", SHOAL_IN(test.error), {}},
            {"test_soft_error", SHOAL_IN(test.soft_error), {}},
            {"test_margin", SHOAL_IN(test.margin), {test_samples}},
            {"test_output", SHOAL_IN(test.output), of_outputs(test_samples)},
            {"test_residual", SHOAL_IN(test.residual), of_outputs(test_samples)}};
#undef SHOAL_IN
}

// The part of the first layer's weights orthogonal to all inputs, per lane (span.hpp): the squared norm of each of its rows, and the part itself if whole
// weights are recorded. Empty if training uses the inputs as they are.
template <AnyLanes V>
struct Unmet {
    const Span* span = nullptr;
    Pack<V> squares;           // outputs
    std::vector<double> rest;  // lanes x outputs x dimension

    Unmet() = default;
    Unmet(const Network& network, const std::optional<Span>& spanned, bool whole) {
        if (!spanned) return;
        span = &*spanned;
        const std::int64_t outputs = network.layers.front().outputs;
        squares = Pack<V>(outputs);
        if (whole) rest.resize(V::count * outputs * span->dimension);
    }

    void take(int lane, const Drawing& drawing) {
        if (!span) return;
        using T = typename V::Scalar;
        const std::vector<double>& drawn = drawing.squares();
        for (std::size_t o = 0; o < drawn.size(); ++o) squares.lane(std::int64_t(o), lane) = T(drawn[o]);
        const std::int64_t size = std::int64_t(drawn.size()) * span->dimension;
        if (!rest.empty()) std::copy_n(drawing.rest(), size, rest.data() + lane * size);
    }

    V square(int unit) const { return span ? squares[unit] : V(0); }

    // Writes the whole weights of unit `unit`, or their velocity, whose part orthogonal to all inputs is 0. `row` begins its trained coordinates; consecutive
    // numbers of a lane are `apart` apart.
    template <class T>
    void write(int lane, int unit, int outputs, bool moving, const T* row, int apart, T* to) const {
        const double* const from = moving ? nullptr : rest.data() + (std::int64_t(lane) * outputs + unit) * span->dimension;
        for (int k = 0; k < span->dimension; ++k) {
            double sum = moving ? 0.0 : from[k];
            for (int j = 0; j < span->rank; ++j) sum += double(row[std::int64_t(j) * apart]) * span->basis[std::int64_t(j) * span->dimension + k];
            to[k] = T(sum);
        }
    }
};

// Which networks the lanes of a pack hold, and their status.
template <AnyLanes V>
struct PackLanes {
    std::int64_t network[V::count];  // its index in the caller's arrays; negative if the lane is unused
    Status status[V::count] = {};
    std::int64_t stopped_at[V::count];
    Unmet<V> unmet;
    Pack<V> initial;  // the parameters at initialisation, if something relative to them is recorded

    PackLanes() { std::fill_n(network, V::count, std::int64_t(-1)); }
    bool wanted(int lane) const { return network[lane] >= 0; }
    int wanted() const {
        int count = 0;
        for (int lane = 0; lane < V::count; ++lane) count += wanted(lane);
        return count;
    }
};

// One record of a pack, of those lanes that have one: where it goes in the caller's arrays.
template <AnyLanes V>
class Sight {
  public:
    using T = typename V::Scalar;

    explicit Sight(std::int64_t records) : records_(records) {}

    // Begins record number times[lane] of each lane; none if negative, or if the lane is unused.
    void begin(const PackLanes<V>& lanes, const std::int64_t (&times)[V::count]) {
        lanes_ = &lanes;
        for (int lane = 0; lane < V::count; ++lane) slots_[lane] = times[lane] >= 0 && lanes.wanted(lane) ? lanes.network[lane] * records_ + times[lane] : -1;
    }
    const PackLanes<V>& lanes() const { return *lanes_; }
    // 1 in lanes with a record, else 0.
    V recorded() const {
        alignas(64) T numbers[V::count];
        for (int lane = 0; lane < V::count; ++lane) numbers[lane] = T(slots_[lane] >= 0);
        return V::load(numbers);
    }

    // Writes one item of a measure in every lane with a record; the array has `each` items per network and time.
    template <class Number>
    void put(Number* array, std::int64_t each, std::int64_t item, const V& value) const {
        if (!array) return;
        alignas(64) T numbers[V::count];
        value.store(numbers);
        each_lane(array, each, [&](int lane, Number* to) { to[item] = Number(numbers[lane]); });
    }

    // Writes of(0), ..., of(count - 1) as items `first` and on. Registers are transposed, so that a lane's items are written together.
    template <class Of>
    void put_row(T* array, std::int64_t each, std::int64_t first, std::int64_t count, const Of& of) const {
        if (!array) return;
        constexpr int width = V::width;
        std::int64_t n = 0;
        for (; n + width <= count; n += width) {
            V items[width];
            SHOAL_UNROLL for (int i = 0; i < width; ++i) items[i] = of(n + i);
            SHOAL_UNROLL for (int r = 0; r < V::registers; ++r) {
                typename V::Square block;
                SHOAL_UNROLL for (int i = 0; i < width; ++i) block.packet[i] = items[i].value[r];
                packet::ptranspose(block);
                SHOAL_UNROLL for (int i = 0; i < width; ++i) if (const std::int64_t slot = slots_[r * width + i]; slot >= 0)
                    packet::pstoreu(array + slot * each + first + n, block.packet[i]);
            }
        }
        for (; n < count; ++n) put(array, each, first + n, of(n));
    }

    // Writes NaN, or false, for lanes that are lost.
    template <class Number>
    void forget(Number* array, std::int64_t each) const {
        constexpr Number nothing = std::is_same_v<Number, bool> ? Number(0) : std::numeric_limits<Number>::quiet_NaN();
        if (!array || std::none_of(lanes_->status, lanes_->status + V::count, is_lost)) return;
        each_lane(array, each, [&](int lane, Number* to) {
            if (is_lost(lanes_->status[lane])) std::fill_n(to, each, nothing);
        });
    }

    // Copies this record to all later ones.
    template <class Number>
    void hold(Number* array, std::int64_t each) const {
        if (!array) return;
        each_lane(array, each, [&](int lane, Number* from) {
            const std::int64_t later = records_ - 1 - slots_[lane] % records_;
            for (std::int64_t n = 1; n <= later; ++n) std::copy_n(from, each, from + n * each);
        });
    }

    // Calls act(lane, address of its `each` numbers) for each lane that has a record.
    template <class Number, class Act>
    void each_lane(Number* array, std::int64_t each, Act&& act) const {
        for (int lane = 0; lane < V::count; ++lane)
            if (slots_[lane] >= 0) act(lane, array + slots_[lane] * each);
    }

  private:
    const PackLanes<V>* lanes_ = nullptr;
    const std::int64_t records_;
    std::int64_t slots_[V::count];  // the place of each lane's record, in records; negative if it has none
};

}  // namespace shoal
