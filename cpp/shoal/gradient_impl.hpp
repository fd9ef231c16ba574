// The passes of Gradient, in the order in which a block walks through them.
#pragma once

#include "shoal/gradient.hpp"

namespace shoal {

// The samples per block: whatever the port model finds cheapest among the sizes whose values stay in a part of the L1 cache.
inline int choose_block(const Network& network, int samples, std::int64_t bytes_per_number) {
    constexpr std::int64_t cache_share = 64 * 1024;
    std::int64_t numbers = 0;
    for (const Layer& layer : network.layers) numbers += layer.outputs;
    const int largest = int(std::clamp<std::int64_t>(cache_share / (numbers * bytes_per_number), 8, 256));
    int best = std::min(samples, largest);
    double fewest = 1e300;
    for (int size = std::min(samples, largest); size >= 1 && size >= std::min(samples, largest) / 2; --size) {
        const Cut cut = Cut::of(samples, size);
        const double cycles = cut.large * BlockPlan(network, cut.size).cycles + (cut.small ? cut.small * BlockPlan(network, cut.size - 1).cycles : 0.0);
        if (cycles < fewest) fewest = cycles, best = cut.size;
    }
    return best;
}

template <class T>
Gradient<T>::Gradient(const Network& network, const Task<T>& task, const Loss& loss)
    : network_(network),
      task_(task),
      loss_(loss),
      homogeneous_(network.homogeneous_head()),
      blocks_(Cut::of(task.samples, choose_block(network, task.samples, sizeof(T) * L))),
      large_(network, blocks_.size),
      small_(network, std::max(1, blocks_.size - 1)) {
    for (const Layer& layer : network.layers) values_.emplace_back(std::int64_t(blocks_.size) * layer.outputs);
    if (homogeneous_ && network.hidden_layers() > 1) {
        const Layer& last = network.layers[network.hidden_layers() - 1];
        scaled_ = Pack<T>(std::int64_t(last.outputs) * last.inputs);
    }
}

template <class T>
std::int64_t Gradient<T>::working_set(const Network& network, int samples) {
    std::int64_t numbers = 2 * std::int64_t(network.parameters), units = 0;
    for (const Layer& layer : network.layers) units += layer.outputs;
    if (network.homogeneous_head() && network.hidden_layers() > 1) {
        const Layer& last = network.layers[network.hidden_layers() - 1];
        numbers += std::int64_t(last.outputs) * last.inputs;
    }
    return (numbers + units * choose_block(network, samples, sizeof(T) * L)) * std::int64_t(sizeof(T) * L);
}

template <class T>
template <class Do>
bool Gradient<T>::for_each_block(Do&& act) {
    for (int block = 0, first = 0; block < blocks_.large + blocks_.small; ++block) {
        const bool large = block < blocks_.large;
        const int count = large ? blocks_.size : blocks_.size - 1;
        if (!act(first, count, large ? large_ : small_)) return false;
        first += count;
    }
    return true;
}

template <class T>
void Gradient<T>::prepare(const Pack<T>& parameters) {
    if (!homogeneous_ || network_.hidden_layers() < 2) return;
    const Layer& last = network_.layers[network_.hidden_layers() - 1];
    const int z = network_.layers.back().weights;
    for (int o = 0; o < last.outputs; ++o)
        for (int k = 0; k < last.inputs; ++k) (parameters[z + o] * parameters[last.weights + o * last.inputs + k]).store(scaled_.at(o * last.inputs + k));
}

template <class T>
void Gradient<T>::forward(const Pack<T>& parameters, int first, int count, const BlockPlan& plan) {
    const Finish finishes[] = {Finish::relu, Finish::leaky_relu, Finish::store, Finish::store, Finish::store};
    const Activation phi = network_.activation;
    for (std::size_t l = 0; l < network_.layers.size(); ++l) {
        const Layer& layer = network_.layers[l];
        const bool hidden = l + 1 < network_.layers.size();
        const T* const from = l == 0 ? task_.inputs.data() + std::int64_t(first) * task_.dimension : values_[l - 1].at(0);
        const T* const biases = layer.biases < 0 ? nullptr : parameters.at(layer.biases);
        const Product<T> product{from, parameters.at(layer.weights), values_[l].at(0), layer.inputs, layer.outputs, layer.inputs,
                                 biases ? Begin::column : Begin::zero, biases, hidden ? finishes[int(phi)] : Finish::store, T(network_.slope)};
        if (l == 0)
            multiply<Pass::forward, true>(plan.layers[l].forward, product);
        else
            multiply<Pass::forward, false>(plan.layers[l].forward, product);
        if (hidden && !is_piecewise_linear(phi))
            for (int n = 0; n < count * layer.outputs; ++n) activate(phi, values_[l][n], Lanes<T>(T(network_.slope))).store(values_[l].at(n));
    }
}

template <class T>
void Gradient<T>::residuals(int first, int count) {
    if (network_.outputs() > 1) return softmax_residuals(first, count);
    Pack<T>& values = values_.back();
    const Lanes<T> threshold = T(loss_.threshold);
    const auto each = [&](auto kind) __attribute__((always_inline)) {
        for (int s = 0; s < count; ++s) {
            const T y = T(task_.labels[first + s]);
            (Lanes<T>(-y * task_.weights[first + s]) * residual(kind(), threshold, Lanes<T>(y) * values[s])).store(values.at(s));
        }
    };
    switch (loss_.kind) {
        case LossKind::cross_entropy: return each([] { return LossKind::cross_entropy; });
        case LossKind::hinge: return each([] { return LossKind::hinge; });
        case LossKind::squared_hinge: return each([] { return LossKind::squared_hinge; });
        case LossKind::exponential: return each([] { return LossKind::exponential; });
        case LossKind::squared: return each([] { return LossKind::squared; });
    }
}

template <class T>
void Gradient<T>::softmax_residuals(int first, int count) {
    Pack<T>& values = values_.back();
    const int outputs = network_.outputs();
    for (int s = 0; s < count; ++s) {
        const std::int64_t own = task_.labels[first + s];
        Lanes<T> top = values[s * outputs], others = T(0), sum = T(0);
        for (int k = 1; k < outputs; ++k) top = max(top, values[s * outputs + k]);
        for (int k = 0; k < outputs; ++k) {
            const Lanes<T> e = exp(values[s * outputs + k] - top);
            e.store(values.at(s * outputs + k));
            sum = sum + e;
            if (k != own) others = others + e;
        }
        const Lanes<T> scale = Lanes<T>(task_.weights[first + s]) / sum;
        for (int k = 0; k < outputs; ++k)  // softmax - 1 of the own class is minus the others' share: nothing cancels
            (k == own ? -(scale * others) : scale * values[s * outputs + k]).store(values.at(s * outputs + k));
    }
}

// db_l += sum_s delta_l.
template <class T>
void Gradient<T>::add_biases(int l, Pack<T>& slope, int first, int count) {
    const Layer& layer = network_.layers[l];
    if (layer.biases < 0) return;
    for (int o = 0; o < layer.outputs; ++o) {
        Lanes<T> sum = first == 0 ? Lanes<T>(T(0)) : slope[layer.biases + o];
        for (int s = 0; s < count; ++s) sum = sum + values_[l][s * layer.outputs + o];
        sum.store(slope.at(layer.biases + o));
    }
}

template <class T>
void Gradient<T>::backward(const Pack<T>& parameters, Pack<T>& slope, int first, int count, const BlockPlan& plan) {
    const Finish finishes[] = {Finish::where_positive, Finish::leaky_where_positive, Finish::store, Finish::times_stored, Finish::times_stored};
    const Activation phi = network_.activation;
    const Lanes<T> leak = T(network_.slope);
    int l = int(network_.layers.size()) - 1;
    if (homogeneous_) {
        add_biases(l, slope, first, count);
        const int units = network_.layers[--l].outputs;
        with_piecewise_linear(phi, [&](auto constant) {
            for (int s = 0; s < count; ++s) {
                const Lanes<T> delta = values_.back()[s];
                for (int o = 0; o < units; ++o) times_derivative(constant(), values_[l][s * units + o], delta, leak).store(values_[l].at(s * units + o));
            }
        });
    }
    const Begin begin = first == 0 ? Begin::zero : Begin::stored;
    for (; l >= 0; --l) {
        const Layer& layer = network_.layers[l];
        const bool scaled = homogeneous_ && l == network_.hidden_layers() - 1;
        const T* const from = l == 0 ? task_.inputs.data() + std::int64_t(first) * task_.dimension : values_[l - 1].at(0);
        const Product<T> weights{values_[l].at(0), from, slope.at(layer.weights), layer.inputs, layer.outputs, count, begin, nullptr, Finish::store, T(0)};
        if (l == 0)
            multiply<Pass::weight_gradient, true>(plan.layers[l].weights, weights);
        else
            multiply<Pass::weight_gradient, false>(plan.layers[l].weights, weights);
        add_biases(l, slope, first, count);
        if (l == 0) break;
        if (!is_piecewise_linear(phi))
            for (int n = 0; n < count * layer.inputs; ++n) times_derivative(phi, values_[l - 1][n], Lanes<T>(T(1)), leak).store(values_[l - 1].at(n));
        const T* const matrix = scaled ? scaled_.at(0) : parameters.at(layer.weights);
        multiply<Pass::input_gradient, false>(plan.layers[l].inputs, Product<T>{values_[l].at(0), matrix, values_[l - 1].at(0), layer.inputs, layer.outputs, layer.outputs,
                                                                                Begin::zero, nullptr, finishes[int(phi)], T(network_.slope)});
    }
}

template <class T>
void Gradient<T>::complete(const Pack<T>& parameters, Pack<T>& slope) {
    if (!homogeneous_) return;
    const Layer &last = network_.layers[network_.hidden_layers() - 1], &head = network_.layers.back();
    for (int o = 0; o < last.outputs; ++o) {
        const Lanes<T> z = parameters[head.weights + o];
        Lanes<T> sum = T(0);
        const auto scale = [&](int number) __attribute__((always_inline)) {
            const Lanes<T> q = slope[number];
            sum = fma(parameters[number], q, sum);
            (z * q).store(slope.at(number));
        };
        for (int k = 0; k < last.inputs; ++k) scale(last.weights + o * last.inputs + k);
        if (last.biases >= 0) scale(last.biases + o);
        sum.store(slope.at(head.weights + o));
    }
}

}  // namespace shoal
