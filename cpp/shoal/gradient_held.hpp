// The passes of Gradient with held gates (kinks.hpp): h = gate a, whatever the sign of a, and likewise for the residual of a hinge.
#pragma once

#include "shoal/gradient.hpp"

namespace shoal {

template <AnyLanes V>
void Gradient<V>::hold(const HeldGates<V>* gates) {
    held_ = gates;
    if (!held_ || !tangents_.empty()) return;
    tangents_ = values_;
    effective_velocity_ = effective_;
}

// a -> gate a.
template <AnyLanes V>
void Gradient<V>::pass_held_gates(int l, int first, int count) {
    const KinkMap& map = held_->map;
    for (int s = 0; s < count; ++s) {
        const T* gates = held_->gates.at(std::int64_t(first + s) * map.per_sample + map.first[l]);
        T* const row = values_[l].at(s * rows_[l]);
        for (std::int64_t n = 0; n < std::int64_t(network_.layers[l].outputs) * V::count; n += V::count) (V::load(row + n) * V::load(gates + n)).store(row + n);
    }
}

// h -> phi'(a), the gate.
template <AnyLanes V>
void Gradient<V>::differentiate_held(int l, int first, int count) {
    const KinkMap& map = held_->map;
    for (int s = 0; s < count; ++s)
        std::copy_n(held_->gates.at(std::int64_t(first + s) * map.per_sample + map.first[l]), std::int64_t(network_.layers[l].outputs) * V::count,
                    values_[l].at(s * rows_[l]));
}

// f -> -p y gate (of a squared hinge: -p y gate (threshold - y f)) + S p f.
template <AnyLanes V>
template <bool decoupled>
void Gradient<V>::held_residuals(int first, int count) {
    const KinkMap& map = held_->map;
    for (int s = 0; s < count; ++s) {
        const V f = values_.back()[s], gate = held_->gates[std::int64_t(first + s) * map.per_sample + map.hinge];
        V r = gate;
        if (!map.jumps) r = gate * (V(T(loss_.threshold)) - V(signs_[first + s]) * f);
        lost_ = gather_not_finite(lost_, witness(first, s));
        V delta = V(pulls_[first + s]) * r;
        if constexpr (decoupled) delta = fma(V(decouples_[first + s]), f, delta);
        delta.store(values_.back().at(s));
    }
}

// The sums of one layer's forward pass, without a finish.
template <AnyLanes V>
Product<typename V::Scalar> Gradient<V>::forward_product(int l, int first, const T* matrix, const T* biases, T* to) const {
    const Layer& layer = network_.layers[l];
    return {.a = below(l, first),
            .b = matrix,
            .c = to,
            .below = below_row(l),
            .above = rows_[l],
            .inputs = layer.inputs,
            .terms = layer.inputs,
            .begin = biases ? Begin::column : Begin::zero,
            .column = biases,
            .activation = network_.activation,
            .slope = T(network_.slope)};
}

// a and its rate of one layer: W h + b, and dW h + db + W dh.
template <AnyLanes V>
void Gradient<V>::forward_with_rates(const Pack<V>& parameters, const Pack<V>& velocity, int l, int first, const BlockPlan& plan) {
    const Layer& layer = network_.layers[l];
    const auto biases = [&](const Pack<V>& from) { return layer.biases < 0 ? nullptr : from.at(layer.biases); };
    const Product<T> value = forward_product(l, first, parameters.at(layer.weights), biases(parameters), values_[l].at(0));
    const Product<T> rate = forward_product(l, first, velocity.at(layer.weights), biases(velocity), tangents_[l].at(0));
    if (l == 0) {
        multiply<V, Pass::forward, true>(plan.layers[l].forward, value);
        return multiply<V, Pass::forward, true>(plan.layers[l].forward, rate);
    }
    multiply<V, Pass::forward, false>(plan.layers[l].forward, value);
    multiply<V, Pass::forward, false>(plan.layers[l].forward, rate);
    Product<T> through_below = value;
    through_below.a = tangents_[l - 1].at(0);
    through_below.c = tangents_[l].at(0);
    through_below.begin = Begin::stored;
    multiply<V, Pass::forward, false>(plan.layers[l].forward, through_below);
}

template <AnyLanes V>
template <class GoOn>
bool Gradient<V>::heights(const Pack<V>& parameters, const Pack<V>& velocity, Pack<V>& heights, Pack<V>& rates, GoOn&& go_on) {
    const Pack<V>& effective = scale(parameters);
    const Pack<V>* moves = &velocity;
    if (!scales_.empty()) {
        for (int n = 0; n < network_.parameters; ++n) (V(scales_[n]) * velocity[n]).store(effective_velocity_.at(n));
        moves = &effective_velocity_;
    }
    const KinkMap& map = held_->map;
    const Activation phi = network_.activation;
    return for_each_block([&](int first, int count, const BlockPlan& plan) {
        for (int l = 0; l < network_.hidden_layers(); ++l) {
            forward_with_rates(effective, *moves, l, first, plan);
            if (!is_piecewise_linear(phi)) activate_all<V>(phi, values_[l].at(0), kept(l).at(0), count, network_.layers[l].outputs, rows_[l]);
            for (int s = 0; s < count; ++s)
                for (int o = 0; o < network_.layers[l].outputs; ++o) {
                    const std::int64_t at = s * rows_[l] + o;
                    if (map.units) {
                        const std::int64_t number = std::int64_t(first + s) * map.per_sample + map.first[l] + o;
                        const V a = values_[l][at], rate = tangents_[l][at], gate = held_->gates[number];
                        a.store(heights.at(number));
                        rate.store(rates.at(number));
                        (gate * a).store(values_[l].at(at));
                        (gate * rate).store(tangents_[l].at(at));
                    } else {
                        times_derivative(phi, kept(l)[at], tangents_[l][at], V(T(network_.slope))).store(tangents_[l].at(at));
                    }
                }
        }
        if (map.hinge >= 0) {
            const int top = network_.hidden_layers();
            forward_with_rates(effective, *moves, top, first, plan);
            if (network_.centred) subtract_start(first, count);
            for (int s = 0; s < count; ++s) {
                const std::int64_t number = std::int64_t(first + s) * map.per_sample + map.hinge;
                const V y = signs_[first + s];
                (V(T(loss_.threshold)) - y * values_[top][s * rows_[top]]).store(heights.at(number));
                (-(y * tangents_[top][s * rows_[top]])).store(rates.at(number));
            }
        }
        return bool(go_on());
    });
}

}  // namespace shoal
