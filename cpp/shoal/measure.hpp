// What is recorded of a pack at chosen steps, written straight into the caller's arrays (network, time, ...).
#pragma once

#include "shoal/gradient.hpp"

#include <limits>

namespace shoal {

// Where each measure goes; null where it was not asked for.
template <class T>
struct Record {
    std::vector<std::int64_t> steps;
    T *loss = nullptr, *error = nullptr, *soft_error = nullptr;            // (networks, times)
    T *margin = nullptr, *layer_norm = nullptr;                            // (networks, times, samples), (networks, times, layers)
    T *balance = nullptr, *active = nullptr;                               // (networks, times, hidden units), (networks, times, hidden layers)
    std::vector<T*> weights, biases;                                       // of the last step: (networks, outputs, inputs), (networks, outputs)
    std::int8_t* status = nullptr;                                         // (networks,): 0 ok, 1 diverged
    std::int64_t* diverged_at = nullptr;                                   // (networks,): step, -1 where it did not
    bool looks_at_samples() const { return loss || error || soft_error || margin || active; }
};

// Gathers one pack's measures at one recorded step: `see` each block, then `write`.
template <AnyLanes V>
class Measure {
  public:
    using T = typename V::Scalar;
    static constexpr int L = V::count;

    Measure(const Network& network, const Task<T>& task, const Loss& loss, const Record<T>& record)
        : network_(network), task_(task), loss_(loss), record_(record), active_(std::max(1, network.hidden_layers())) {}

    // The pack whose first network stands at `position` of the arrays; `used` of its lanes are wanted.
    void begin(std::int64_t position, int used) {
        position_ = position;
        used_ = used;
    }

    void clear(std::int64_t time) {
        time_ = time;
        sums_ = {};
        for (int l = 0; l < network_.hidden_layers(); ++l) V(0).store(active_.at(l));
    }

    void see(int first, int count, const Gradient<V>& pass) {
        for (int s = 0; s < count; ++s)
            network_.outputs() == 1 ? see_logit(first + s, pass.value(network_.hidden_layers(), s, 0)) : see_logits(first + s, pass, s);
        if (!record_.active) return;
        const V above = T(active_above(network_.activation)), one = 1, zero = 0;
        for (int l = 0; l < network_.hidden_layers(); ++l) {
            V sum = active_[l];
            for (int s = 0; s < count; ++s)
                for (int o = 0; o < network_.layers[l].outputs; ++o) sum = sum + where_less(above, pass.value(l, s, o), one, zero);
            sum.store(active_.at(l));
        }
    }

    // What was seen of the samples, what the parameters say by themselves, and how the training ended. Lanes that diverged get NaN.
    void write_samples(const std::int64_t* diverged_at);
    void write_parameters(const Pack<V>& parameters, const std::int64_t* diverged_at);
    void write_end(const Pack<V>& parameters, const std::int64_t* diverged_at);

  private:
    struct Sums {
        V loss = 0, error = 0, soft_error = 0;
    };

    void add(int sample, V margin, V loss, V error, V soft_error);
    void see_logit(int sample, V logit);
    void see_logits(int sample, const Gradient<V>& pass, int row);
    void put(T* array, std::int64_t each, std::int64_t item, V value);
    void forget(T* array, std::int64_t each, const std::int64_t* diverged_at);
    void write_norms(const Pack<V>& parameters);
    void write_balance(const Pack<V>& parameters);

    const Network& network_;
    const Task<T>& task_;
    Loss loss_;
    const Record<T>& record_;
    Sums sums_;
    Pack<V> active_;
    std::int64_t position_ = 0, time_ = 0;
    int used_ = 0;
};

// Writes one measure's item of every wanted lane, `each` items a network and time.
template <AnyLanes V>
void Measure<V>::put(T* array, std::int64_t each, std::int64_t item, V value) {
    if (!array) return;
    alignas(64) T lanes[L];
    value.store(lanes);
    const std::int64_t times = std::int64_t(record_.steps.size());
    for (int lane = 0; lane < used_; ++lane) array[((position_ + lane) * times + time_) * each + item] = lanes[lane];
}

template <AnyLanes V>
void Measure<V>::forget(T* array, std::int64_t each, const std::int64_t* diverged_at) {
    if (!array) return;
    const std::int64_t times = std::int64_t(record_.steps.size());
    for (int lane = 0; lane < used_; ++lane)
        if (diverged_at[lane] >= 0) std::fill_n(array + ((position_ + lane) * times + time_) * each, each, std::numeric_limits<T>::quiet_NaN());
}

template <AnyLanes V>
void Measure<V>::add(int sample, V margin, V loss, V error, V soft_error) {
    const V p = task_.weights[sample];
    sums_.loss = fma(p, loss, sums_.loss);
    sums_.error = fma(p, error, sums_.error);
    sums_.soft_error = fma(p, soft_error, sums_.soft_error);
    put(record_.margin, task_.samples, sample, margin);
}

// One output: margin y f; a margin of exactly 0 is a coin's toss.
template <AnyLanes V>
void Measure<V>::see_logit(int sample, V logit) {
    const V zero = 0, half = 0.5, one = 1;
    const V m = V(T(task_.labels[sample])) * logit;
    const V error = where_less(zero, m, zero, where_less(m, zero, one, half));
    add(sample, m, record_.loss ? loss_value(loss_.kind, V(T(loss_.threshold)), m) : zero, error, record_.soft_error ? sigmoid_of_minus(m) : zero);
}

// K outputs: with v = ln sum_{j != y} e^{o_j} - o_y, the loss is ln(1 + e^v) and the soft error 1/(1 + e^-v). Who ties with j others
// at the top errs with probability j/(j+1).
template <AnyLanes V>
void Measure<V>::see_logits(int sample, const Gradient<V>& pass, int row) {
    const V zero = 0, one = 1;
    const int outputs = network_.outputs(), own = int(task_.labels[sample]), layer = network_.hidden_layers();
    const V o = pass.value(layer, row, own);
    V top = pass.value(layer, row, own == 0 ? 1 : 0);
    for (int k = 0; k < outputs; ++k)
        if (k != own) top = max(top, pass.value(layer, row, k));
    V sum = zero, ties = zero;
    for (int k = 0; k < outputs; ++k)
        if (k != own) {
            const V other = pass.value(layer, row, k);
            sum = sum + exp(other - top);
            ties = ties + where_less(other, o, zero, where_less(o, other, zero, one));
        }
    const V v = top + log(sum) - o, m = o - top;
    const V error = where_less(zero, m, zero, where_less(m, zero, one, ties / (ties + one)));
    add(sample, m, loss_value(LossKind::cross_entropy, zero, -v), error, sigmoid_of_minus(-v));
}

template <AnyLanes V>
void Measure<V>::write_norms(const Pack<V>& parameters) {
    if (!record_.layer_norm) return;
    for (std::size_t l = 0; l < network_.layers.size(); ++l) {
        const Layer& layer = network_.layers[l];
        V sum = 0;
        for (int n = 0; n < layer.inputs * layer.outputs; ++n) sum = fma(parameters[layer.weights + n], parameters[layer.weights + n], sum);
        put(record_.layer_norm, std::int64_t(network_.layers.size()), std::int64_t(l), sqrt(sum));
    }
}

// |weights and bias into a hidden unit|^2 - |weights out of it|^2, which gradient flow conserves for homogeneous activations.
template <AnyLanes V>
void Measure<V>::write_balance(const Pack<V>& parameters) {
    if (!record_.balance) return;
    std::int64_t item = 0;
    for (int l = 0; l < network_.hidden_layers(); ++l) {
        const Layer &in = network_.layers[l], &out = network_.layers[l + 1];
        for (int unit = 0; unit < in.outputs; ++unit) {
            V incoming = 0, outgoing = 0;
            const auto add_square = [&](V& sum, int number) { sum = fma(parameters[number], parameters[number], sum); };
            for (int k = 0; k < in.inputs; ++k) add_square(incoming, in.weights + unit * in.inputs + k);
            if (in.biases >= 0) add_square(incoming, in.biases + unit);
            for (int o = 0; o < out.outputs; ++o) add_square(outgoing, out.weights + o * out.inputs + unit);
            put(record_.balance, network_.units(), item++, incoming - outgoing);
        }
    }
}

template <AnyLanes V>
void Measure<V>::write_samples(const std::int64_t* diverged_at) {
    put(record_.loss, 1, 0, sums_.loss);
    put(record_.error, 1, 0, sums_.error);
    put(record_.soft_error, 1, 0, sums_.soft_error);
    for (int l = 0; l < network_.hidden_layers(); ++l)
        put(record_.active, network_.hidden_layers(), l, active_[l] / V(T(std::int64_t(task_.samples) * network_.layers[l].outputs)));
    for (T* array : {record_.loss, record_.error, record_.soft_error}) forget(array, 1, diverged_at);
    forget(record_.margin, task_.samples, diverged_at);
    forget(record_.active, network_.hidden_layers(), diverged_at);
}

template <AnyLanes V>
void Measure<V>::write_parameters(const Pack<V>& parameters, const std::int64_t* diverged_at) {
    write_norms(parameters);
    write_balance(parameters);
    forget(record_.layer_norm, std::int64_t(network_.layers.size()), diverged_at);
    forget(record_.balance, network_.units(), diverged_at);
}

template <AnyLanes V>
void Measure<V>::write_end(const Pack<V>& parameters, const std::int64_t* diverged_at) {
    for (int lane = 0; lane < used_; ++lane) {
        const auto copy = [&](T* array, int from, std::int64_t size) {
            for (std::int64_t n = 0; n < size; ++n)
                array[(position_ + lane) * size + n] = diverged_at[lane] < 0 ? parameters.at(from + n)[lane] : std::numeric_limits<T>::quiet_NaN();
        };
        for (std::size_t l = 0; l < record_.weights.size(); ++l) {
            const Layer& layer = network_.layers[l];
            copy(record_.weights[l], layer.weights, std::int64_t(layer.inputs) * layer.outputs);
            if (!record_.biases.empty()) copy(record_.biases[l], layer.biases, layer.outputs);
        }
        record_.status[position_ + lane] = diverged_at[lane] < 0 ? 0 : 1;
        record_.diverged_at[position_ + lane] = diverged_at[lane];
    }
}

}  // namespace shoal
