// The passes of Gradient, in the order in which a block goes through them.
#pragma once

#include "shoal/gradient.hpp"

namespace shoal {

template <AnyLanes V>
Gradient<V>::Gradient(const Network& network, const Task<T>& task, const Loss& loss, const Penalty& penalty, const Tuning& tuning)
    : network_(network),
      task_(task),
      loss_(loss),
      decay_(T(penalty.weight_decay)),
      homogeneous_(network.homogeneous_head()),
      shape_(tuning.fixed_shapes ? fixed_shape<V>(network) : -1),
      shares_(shares(network, task.learnt)),
      large_(Blocks::of<V>(network, cut_samples<V>(network, Share::of(task.learnt, shares_, 0).samples, tuning))),
      small_(shares_ == 1 ? large_ : Blocks::of<V>(network, cut_samples<V>(network, Share::of(task.learnt, shares_, shares_ - 1).samples, tuning))),
      rest_(task.learnt < task.samples ? Blocks::of<V>(network, Cut::of(task.samples - task.learnt, large_.cut.size)) : Blocks{}),
      slope_(network.parameters),
      total_(shares_ > 1 ? network.parameters : 0) {
    const int longest = std::max(large_.cut.size, small_.cut.size);
    for (int l = 0; l < int(network.layers.size()); ++l) {
        rows_.push_back(row_length(network.layers[l].outputs));
        values_.emplace_back(longest * rows_.back());
        if (network.keeps_pre_activations(l)) kept_.emplace_back(longest * rows_.back());
    }
    for (int s = 0; s < task.samples; ++s) {
        signs_.push_back(task.sign(s));
        pulls_.push_back(-signs_.back() * task.weights[s]);
        if (penalty.spectral_decoupling != 0) decouples_.push_back(T(penalty.spectral_decoupling) * task.weights[s]);
    }
    if (homogeneous_ && network.hidden_layers() > 1) scaled_ = Pack<V>(network.last_hidden().inputs * std::int64_t(network.last_hidden().outputs));
    if (network.has_scales()) {
        scales_ = network.for_each_parameter<T>([](const Layer& layer) { return layer.scale; }, [](const Layer&) { return 1.0; });
        effective_ = Pack<V>(network.parameters);
    }
    if (network.has_scales() || network.has_rates()) {
        gains_ = network.for_each_parameter<T>([](const Layer& layer) { return layer.rate * layer.scale; }, [](const Layer& layer) { return layer.rate; });
        const auto shrink = [&](const Layer& layer) { return layer.rate * penalty.weight_decay; };
        shrinks_ = network.for_each_parameter<T>(shrink, shrink);
    }
    // Packs with several registers per number hold networks so small that a search for samples to leave out costs more than it saves.
    if (loss.kink() != Kink::none && V::registers == 1 && network.gated() && decouples_.empty()) pulling_inputs_.resize(std::int64_t(longest) * task.dimension);
    if (network.outputs() > 1 && task.targets.empty()) exponentials_ = Pack<V>(network.outputs());
    if (network.centred) at_start_ = Pack<V>(std::int64_t(task.samples) * network.outputs());
}

template <AnyLanes V>
std::int64_t Gradient<V>::working_set(const Network& network, int samples, const Tuning& tuning) {
    std::int64_t numbers = 2 * std::int64_t(network.parameters) * V::count;
    const std::int64_t block = cut_samples<V>(network, samples, tuning).size;
    for (int l = 0; l < int(network.layers.size()); ++l) numbers += row_length(network.layers[l].outputs) * block * value_numbers<V>(network, l, tuning);
    if (network.homogeneous_head() && network.hidden_layers() > 1)
        numbers += network.last_hidden().inputs * std::int64_t(network.last_hidden().outputs) * V::count;
    return numbers * std::int64_t(sizeof(T));
}

template <AnyLanes V>
template <class Do>
bool Gradient<V>::for_each_block(Do&& act) {
    lost_ = 0;
    int first = 0;
    const auto walk = [&](const Blocks& blocks) {
        for (int block = 0; block < blocks.cut.large + blocks.cut.small; ++block) {
            const bool large = block < blocks.cut.large;
            const int count = large ? blocks.cut.size : blocks.cut.size - 1;
            if (!act(first, count, large ? blocks.large : blocks.small)) return false;
            first += count;
        }
        return true;
    };
    for (int share = 0; share < shares_; ++share) {
        share_first_ = first;
        if (!walk(share < task_.learnt % shares_ ? large_ : small_)) return false;
    }
    return walk(rest_);
}

// Returns the effective weights, and the biases: the parameters themselves if all scales are 1.
template <AnyLanes V>
const Pack<V>& Gradient<V>::scale(const Pack<V>& parameters) {
    if (scales_.empty()) return parameters;
    for (int n = 0; n < network_.parameters; ++n) (V(scales_[n]) * parameters[n]).store(effective_.at(n));
    return effective_;
}

template <AnyLanes V>
template <class GoOn>
bool Gradient<V>::centre(const Pack<V>& parameters, V fresh, GoOn&& go_on) {
    if (!network_.centred) return true;
    const Pack<V>& effective = scale(parameters);
    const int outputs = network_.outputs();
    return for_each_block([&](int first, int count, const BlockPlan& plan) {
        forward(effective, first, count, plan);
        for (int s = 0; s < count; ++s)
            for (int k = 0; k < outputs; ++k) {
                const std::int64_t at = std::int64_t(first + s) * outputs + k;
                where_less(V(0), fresh, value(network_.hidden_layers(), s, k), at_start_[at]).store(at_start_.at(at));
            }
        return bool(go_on());
    });
}

template <AnyLanes V>
void Gradient<V>::subtract_start(int first, int count) {
    const int outputs = network_.outputs();
    for (int s = 0; s < count; ++s)
        for (int k = 0; k < outputs; ++k) {
            const std::int64_t at = s * rows_.back() + k;
            (values_.back()[at] - at_start_[std::int64_t(first + s) * outputs + k]).store(values_.back().at(at));
        }
}

template <AnyLanes V>
void Gradient<V>::prepare(const Pack<V>& parameters) {
    if (!homogeneous_ || network_.hidden_layers() < 2) return;
    const Layer& last = network_.last_hidden();
    const T *from = parameters.at(last.weights), *const head = parameters.at(network_.layers.back().weights);
    T* to = scaled_.at(0);
    for (int o = 0; o < last.outputs; ++o) {
        const V z = V::load(head + o * V::count);
        for (int k = 0; k < last.inputs; ++k, from += V::count, to += V::count) (z * V::load(from)).store(to);
    }
}

template <AnyLanes V>
void Gradient<V>::forward(const Pack<V>& parameters, int first, int count, const BlockPlan& plan) {
    const Activation phi = network_.activation;
    for (int l = 0; l < int(network_.layers.size()); ++l) {
        const Layer& layer = network_.layers[l];
        const bool hidden = l < network_.hidden_layers();
        const T* const biases = layer.biases < 0 ? nullptr : parameters.at(layer.biases);
        Product<T> product = forward_product(l, first, parameters.at(layer.weights), biases, values_[l].at(0));
        if (hidden && !holds_units() && is_piecewise_linear(phi)) product.finish = Finish::activate;
        if (holds_gates(l)) begin_output(parameters, count, product);
        if (shape_ >= 0 && !holds_units())
            tiles::fixed<V, Pass::forward>[shape_](product, count);
        else if (l == 0)
            multiply<V, Pass::forward, true>(plan.layers[l].forward, product);
        else
            multiply<V, Pass::forward, false>(plan.layers[l].forward, product);
        if (holds_gates(l)) return;
        if (hidden && holds_units()) pass_held_gates(l, first, count);
        if (hidden && network_.curved_head() && l == network_.hidden_layers() - 1) return activate_to_output(parameters, count);
        if (hidden && !is_piecewise_linear(phi)) activate_all<V>(phi, values_[l].at(0), kept(l).at(0), count, layer.outputs, rows_[l]);
    }
}

// Sets up the product of the last hidden layer so that it adds its part to the output and stores only the gates.
template <AnyLanes V>
void Gradient<V>::begin_output(const Pack<V>& parameters, int count, Product<T>& product) {
    const Layer& head = network_.layers.back();
    const V bias = head.biases < 0 ? V(0) : parameters[head.biases];
    for (int s = 0; s < count; ++s) bias.store(values_.back().at(s));
    product.finish = Finish::gates;
    product.head = parameters.at(head.weights);
    product.output = values_.back().at(0);
}

template <AnyLanes V>
V Gradient<V>::active(int layer, int sample, int unit) const {
    const std::int64_t at = sample * rows_[layer] + unit;
    if (holds_gates(layer)) return through_stored(gates(layer, at), V(1));
    return where_less(V(T(active_above(network_.activation))), kept(layer)[at], V(1), V(0));
}

// A sample whose hinge every trained network of the pack meets adds exactly 0 to each sum of the backward pass. Moves the gates and delta_s of the other samples up,
// copies their inputs, and returns their number. If more than three in four are left, all stay: copying would cost more than it saves.
template <AnyLanes V>
int Gradient<V>::gather_pulling(const T* inputs, int count) {
    Pack<V>& delta = values_.back();
    int pulling = 0;
    const auto pulls = [&](int s) { return gathered(through(trained_, abs(delta[s]))); };
    for (int s = 0; s < count; ++s) pulling += pulls(s);
    if (4 * pulling > 3 * count) return count;
    const int units = network_.last_hidden().outputs, dimension = task_.dimension;
    for (int s = 0, to = 0; to < pulling; ++s) {
        if (!pulls(s)) continue;
        std::copy_n(inputs + std::int64_t(s) * dimension, dimension, pulling_inputs_.data() + std::int64_t(to) * dimension);
        if (to < s) {
            std::copy_n(gates(0, s * rows_[0]), units * gate_size<V>, gates(0, to * rows_[0]));
            delta[s].store(delta.at(to));
        }
        ++to;
    }
    return pulling;
}

// db_l += sum_s delta_l. Several units at a time hide the latency of their sums.
template <AnyLanes V>
void Gradient<V>::add_biases(int l, int first, int count) {
    const Layer& layer = network_.layers[l];
    if (layer.biases < 0) return;
    const T *const delta = values_.back().at(0), *const values = values_[l].at(0);
    const auto add = [&]<int together>(std::integral_constant<int, together>, int o, auto gated) __attribute__((always_inline)) {
        T* const to = slope_.at(layer.biases + o);
        V sum[together];
        SHOAL_UNROLL for (int u = 0; u < together; ++u) sum[u] = first == share_first_ ? V(0) : V::load(to + u * V::count);
        constexpr int apart = gated ? gate_size<V> : V::count;
        const T* from = values + std::int64_t(o) * apart;
        for (int s = 0; s < count; ++s, from += rows_[l] * apart) SHOAL_UNROLL for (int u = 0; u < together; ++u) {
                if constexpr (gated)
                    sum[u] = sum[u] + through_stored(from + u * apart, V::load(delta + std::int64_t(s) * V::count));
                else
                    sum[u] = sum[u] + V::load(from + u * apart);
            }
        SHOAL_UNROLL for (int u = 0; u < together; ++u) sum[u].store(to + u * V::count);
    };
    const auto add_all = [&](auto gated) {
        constexpr int together = 8 / V::registers;
        int o = 0;
        for (; o + together <= layer.outputs; o += together) add(std::integral_constant<int, together>(), o, gated);
        for (; o < layer.outputs; ++o) add(std::integral_constant<int, 1>(), o, gated);
    };
    l == 0 && gated() ? add_all(std::true_type()) : add_all(std::false_type());
}

template <AnyLanes V>
void Gradient<V>::gate_last_hidden(int first, int count) {
    const int l = network_.hidden_layers() - 1, units = network_.layers[l].outputs;
    const V slope = T(network_.slope);
    if (holds_units()) {
        differentiate_held(l, first, count);
        for (int s = 0; s < count; ++s)
            for (int o = 0; o < units; ++o) (value(l, s, o) * values_.back()[s]).store(values_[l].at(s * rows_[l] + o));
        return;
    }
    if (network_.gates_last_hidden()) {  // from the last on: gates in memory take less room than what replaces them
        for (std::int64_t s = count - 1; s >= 0; --s) {
            const V delta = values_.back()[s];
            const T* const from = gates(l, s * rows_[l]);
            T* const to = values_[l].at(s * rows_[l]);
            for (int o = units - 1; o >= 0; --o) through_stored(from + o * gate_size<V>, delta).store(to + o * V::count);
        }
        return;
    }
    with_piecewise_linear(network_.activation, [&](auto phi) {
        for (int s = 0; s < count; ++s) {
            const V delta = values_.back()[s];
            T* const row = values_[l].at(s * rows_[l]);
            for (int o = 0; o < units; ++o) phi.times_derivative(V::load(row + o * V::count), delta, slope).store(row + o * V::count);
        }
    });
}

// Adds the gradient of the share that ends to those of the shares before.
template <AnyLanes V>
void Gradient<V>::end_share() {
    if (share_first_ == Share::of(task_.learnt, shares_, 1).first)
        std::swap(total_, slope_);
    else
        total_.add(slope_);
}

template <AnyLanes V>
void Gradient<V>::backward(const Pack<V>& parameters, int first, int count, const BlockPlan& plan, const T* inputs) {
    const Activation phi = network_.activation;
    int l = network_.hidden_layers();
    if (first == share_first_ && first > 0) end_share();
    if (homogeneous_) {
        add_biases(l, first, count);
        if (!gated()) gate_last_hidden(first, count);
        --l;
    } else if (network_.curved_head()) {
        backward_from_output(parameters, first, count);
        add_biases(l, first, count);
        --l;
    }
    const Begin begin = first == share_first_ ? Begin::zero : Begin::stored;
    for (; l >= 0; --l) {
        const Layer& layer = network_.layers[l];
        const Product<T> weights{.a = values_[l].at(0),
                                 .b = l == 0 ? inputs : below(l, first),
                                 .c = slope_.at(layer.weights),
                                 .below = below_row(l),
                                 .above = rows_[l],
                                 .inputs = layer.inputs,
                                 .terms = count,
                                 .begin = begin,
                                 .delta = values_.back().at(0)};
        if (shape_ >= 0 && !holds_units())
            tiles::fixed<V, Pass::gated_weight_gradient>[shape_](weights, count);
        else if (l > 0)
            multiply<V, Pass::weight_gradient, false>(plan.layers[l].weights, weights);
        else if (gated())
            multiply<V, Pass::gated_weight_gradient, true>(plan.layers[l].weights, weights);
        else
            multiply<V, Pass::weight_gradient, true>(plan.layers[l].weights, weights);
        add_biases(l, first, count);
        if (l == 0) break;
        if (!is_piecewise_linear(phi)) differentiate_all<V>(phi, values_[l - 1].at(0), kept(l - 1).at(0), count, layer.inputs, rows_[l - 1]);
        if (holds_units()) differentiate_held(l - 1, first, count);
        const bool scaled = homogeneous_ && l == network_.hidden_layers() - 1;
        const T* const matrix = scaled ? scaled_.at(0) : parameters.at(layer.weights);
        const Product<T> back{.a = values_[l].at(0),
                              .b = matrix,
                              .c = values_[l - 1].at(0),
                              .below = rows_[l - 1],
                              .above = rows_[l],
                              .inputs = layer.inputs,
                              .terms = layer.outputs,
                              .finish = holds_units() || !is_piecewise_linear(phi) ? Finish::times_stored : Finish::times_derivative,
                              .activation = phi,
                              .slope = T(network_.slope)};
        multiply<V, Pass::input_gradient, false>(plan.layers[l].inputs, back);
    }
}

template <AnyLanes V>
template <class Take>
void Gradient<V>::hand_over(const Pack<V>& parameters, const Pack<V>& effective, Take& taker) {
    if (shares_ > 1) total_.add(slope_), std::swap(total_, slope_);
    if (!gains_.empty()) {
        const T *const gains = gains_.data(), *const shrinks = shrinks_.data();
        if (decay_ == 0) return hand_over_as(parameters, effective, [=](int n, V, V slope) { return V(gains[n]) * slope; }, taker);
        return hand_over_as(parameters, effective, [=](int n, V parameter, V slope) { return fma(V(shrinks[n]), parameter, V(gains[n]) * slope); }, taker);
    }
    if (decay_ == 0) return hand_over_as(parameters, parameters, [](int, V, V slope) { return slope; }, taker);
    hand_over_as(parameters, parameters, [decay = V(decay_)](int, V parameter, V slope) { return fma(decay, parameter, slope); }, taker);
}

// The slope handed over is downhill(number, parameter, slope of the effective parameter).
template <AnyLanes V>
template <class Downhill, class Take>
void Gradient<V>::hand_over_as(const Pack<V>& parameters, const Pack<V>& effective, const Downhill& downhill, Take& taker) {
    // Copies that no store can change, so that their state and the packs' addresses stay in registers.
    Take take_slope = taker;
    const T *const numbers = parameters.at(0), *const weights = effective.at(0), *const slopes = slope_.at(0);
    const auto at = [](const T* pack, int n) __attribute__((always_inline)) { return V::load(pack + std::int64_t(n) * V::count); };
    const auto take = [&](int n, V slope) __attribute__((always_inline)) {
        const V parameter = at(numbers, n);
        take_slope(n, parameter, downhill(n, parameter, slope));
    };
    const Layer &last = network_.last_hidden(), &head = network_.layers.back();
    const int plain = homogeneous_ ? last.weights : network_.parameters;
    for (int n = 0; n < plain; ++n) take(n, at(slopes, n));
    for (int o = 0; homogeneous_ && o < last.outputs; ++o) {
        const V z = at(weights, head.weights + o);
        V sum = 0;
        for (int part = 0; part < 2; ++part) {  // first the row of W, then the bias
            const int begin = part == 0 ? last.weights + o * last.inputs : last.biases + o;
            const int end = begin + (part == 0 ? last.inputs : last.biases >= 0);
            for (int n = begin; n < end; ++n) {
                const V w = at(weights, n), q = at(slopes, n);
                sum = fma(w, q, sum);
                take(n, z * q);
            }
        }
        take(head.weights + o, sum);
    }
    if (homogeneous_ && head.biases >= 0) take(head.biases, at(slopes, head.biases));
    taker = take_slope;
}

}  // namespace shoal
