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
template <class T>
class Measure {
  public:
    static constexpr int L = Lanes<T>::count;

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
        for (int l = 0; l < network_.hidden_layers(); ++l) Lanes<T>(T(0)).store(active_.at(l));
    }

    void see(int first, int count, const Gradient<T>& pass) {
        for (int s = 0; s < count; ++s) network_.outputs() == 1 ? see_logit(first + s, pass.logits()[s]) : see_logits(first + s, pass.logits(), s);
        if (!record_.active) return;
        const Lanes<T> above = T(active_above(network_.activation)), one = T(1), zero = T(0);
        for (int l = 0; l < network_.hidden_layers(); ++l) {
            Lanes<T> sum = active_[l];
            for (int n = 0; n < count * network_.layers[l].outputs; ++n) sum = sum + where_less(above, pass.hidden(l)[n], one, zero);
            sum.store(active_.at(l));
        }
    }

    // Writes what was seen; lanes that diverged get NaN.
    void write(const Pack<T>& parameters, const std::int64_t* diverged_at);
    void write_weights(const Pack<T>& parameters, const std::int64_t* diverged_at);

  private:
    struct Sums {
        Lanes<T> loss = T(0), error = T(0), soft_error = T(0);
    };

    void add(int sample, Lanes<T> margin, Lanes<T> loss, Lanes<T> error, Lanes<T> soft_error);
    void see_logit(int sample, Lanes<T> logit);
    void see_logits(int sample, const Pack<T>& logits, int row);
    void put(T* array, std::int64_t each, std::int64_t item, Lanes<T> value);
    void write_norms(const Pack<T>& parameters);
    void write_balance(const Pack<T>& parameters);

    const Network& network_;
    const Task<T>& task_;
    Loss loss_;
    const Record<T>& record_;
    Sums sums_;
    Pack<T> active_;
    std::int64_t position_ = 0, time_ = 0;
    int used_ = 0;
};

// Writes one measure's item of every wanted lane, `each` items a network and time.
template <class T>
void Measure<T>::put(T* array, std::int64_t each, std::int64_t item, Lanes<T> value) {
    if (!array) return;
    alignas(64) T lanes[L];
    value.store(lanes);
    const std::int64_t times = std::int64_t(record_.steps.size());
    for (int lane = 0; lane < used_; ++lane) array[((position_ + lane) * times + time_) * each + item] = lanes[lane];
}

template <class T>
void Measure<T>::add(int sample, Lanes<T> margin, Lanes<T> loss, Lanes<T> error, Lanes<T> soft_error) {
    const Lanes<T> p = task_.weights[sample];
    sums_.loss = fma(p, loss, sums_.loss);
    sums_.error = fma(p, error, sums_.error);
    sums_.soft_error = fma(p, soft_error, sums_.soft_error);
    put(record_.margin, task_.samples, sample, margin);
}

// One output: margin y f; a margin of exactly 0 is a coin's toss.
template <class T>
void Measure<T>::see_logit(int sample, Lanes<T> logit) {
    const Lanes<T> zero = T(0), half = T(0.5), one = T(1);
    const Lanes<T> m = Lanes<T>(T(task_.labels[sample])) * logit;
    const Lanes<T> error = where_less(zero, m, zero, where_less(m, zero, one, half));
    add(sample, m, record_.loss ? loss_value(loss_.kind, Lanes<T>(T(loss_.threshold)), m) : zero, error, record_.soft_error ? sigmoid_of_minus(m) : zero);
}

// K outputs: with v = ln sum_{j != y} e^{o_j} - o_y, the loss is ln(1 + e^v) and the soft error 1/(1 + e^-v). Who ties with j others at the top errs with j/(j+1).
template <class T>
void Measure<T>::see_logits(int sample, const Pack<T>& logits, int row) {
    const Lanes<T> zero = T(0), one = T(1);
    const int outputs = network_.outputs(), own = int(task_.labels[sample]);
    const Lanes<T> o = logits[row * outputs + own];
    Lanes<T> top = logits[row * outputs + (own == 0 ? 1 : 0)];
    for (int k = 0; k < outputs; ++k)
        if (k != own) top = max(top, logits[row * outputs + k]);
    Lanes<T> sum = zero, ties = zero;
    for (int k = 0; k < outputs; ++k)
        if (k != own) {
            const Lanes<T> other = logits[row * outputs + k];
            sum = sum + exp(other - top);
            ties = ties + where_less(other, o, zero, where_less(o, other, zero, one));
        }
    const Lanes<T> v = top + log(sum) - o, m = o - top;
    const Lanes<T> error = where_less(zero, m, zero, where_less(m, zero, one, ties / (ties + one)));
    add(sample, m, loss_value(LossKind::cross_entropy, zero, -v), error, sigmoid_of_minus(-v));
}

template <class T>
void Measure<T>::write_norms(const Pack<T>& parameters) {
    if (!record_.layer_norm) return;
    for (std::size_t l = 0; l < network_.layers.size(); ++l) {
        const Layer& layer = network_.layers[l];
        Lanes<T> sum = T(0);
        for (int n = 0; n < layer.inputs * layer.outputs; ++n) sum = fma(parameters[layer.weights + n], parameters[layer.weights + n], sum);
        put(record_.layer_norm, std::int64_t(network_.layers.size()), std::int64_t(l), Lanes<T>(packet::psqrt(sum.value)));
    }
}

// |weights and bias into a hidden unit|^2 - |weights out of it|^2, which gradient flow conserves for homogeneous activations.
template <class T>
void Measure<T>::write_balance(const Pack<T>& parameters) {
    if (!record_.balance) return;
    std::int64_t item = 0;
    for (int l = 0; l < network_.hidden_layers(); ++l) {
        const Layer &in = network_.layers[l], &out = network_.layers[l + 1];
        for (int unit = 0; unit < in.outputs; ++unit) {
            Lanes<T> incoming = T(0), outgoing = T(0);
            const auto add_square = [&](Lanes<T>& sum, int number) { sum = fma(parameters[number], parameters[number], sum); };
            for (int k = 0; k < in.inputs; ++k) add_square(incoming, in.weights + unit * in.inputs + k);
            if (in.biases >= 0) add_square(incoming, in.biases + unit);
            for (int o = 0; o < out.outputs; ++o) add_square(outgoing, out.weights + o * out.inputs + unit);
            put(record_.balance, network_.units(), item++, incoming - outgoing);
        }
    }
}

template <class T>
void Measure<T>::write(const Pack<T>& parameters, const std::int64_t* diverged_at) {
    put(record_.loss, 1, 0, sums_.loss);
    put(record_.error, 1, 0, sums_.error);
    put(record_.soft_error, 1, 0, sums_.soft_error);
    for (int l = 0; l < network_.hidden_layers(); ++l)
        put(record_.active, network_.hidden_layers(), l, active_[l] / Lanes<T>(T(std::int64_t(task_.samples) * network_.layers[l].outputs)));
    write_norms(parameters);
    write_balance(parameters);
    const std::int64_t times = std::int64_t(record_.steps.size());
    const auto forget = [&](T* array, int lane, std::int64_t each) {
        if (array) std::fill_n(array + ((position_ + lane) * times + time_) * each, each, std::numeric_limits<T>::quiet_NaN());
    };
    for (int lane = 0; lane < used_; ++lane) {
        if (diverged_at[lane] < 0) continue;
        for (T* array : {record_.loss, record_.error, record_.soft_error}) forget(array, lane, 1);
        forget(record_.margin, lane, task_.samples);
        forget(record_.layer_norm, lane, std::int64_t(network_.layers.size()));
        forget(record_.balance, lane, network_.units());
        forget(record_.active, lane, network_.hidden_layers());
    }
}

template <class T>
void Measure<T>::write_weights(const Pack<T>& parameters, const std::int64_t* diverged_at) {
    for (int lane = 0; lane < used_; ++lane) {
        const auto copy = [&](T* array, int from, std::int64_t size) {
            for (std::int64_t n = 0; n < size; ++n)
                array[(position_ + lane) * size + n] = diverged_at[lane] < 0 ? parameters.at(from + n)[lane] : std::numeric_limits<T>::quiet_NaN();
        };
        for (std::size_t l = 0; l < record_.weights.size(); ++l) copy(record_.weights[l], network_.layers[l].weights, std::int64_t(network_.layers[l].inputs) * network_.layers[l].outputs);
        for (std::size_t l = 0; l < record_.biases.size(); ++l) copy(record_.biases[l], network_.layers[l].biases, network_.layers[l].outputs);
        record_.status[position_ + lane] = diverged_at[lane] < 0 ? 0 : 1;
        record_.diverged_at[position_ + lane] = diverged_at[lane];
    }
}

}  // namespace shoal
