// Products of the matrix R^(1/2) H R^(1/2), with H the Hessian of what training minimises, penalties included, by all weights and biases, and R the layers'
// rates (network.hpp).
//
// They are exact: the derivative of the gradient along a vector (Pearlmutter 1994). With u the change of the effective weights U and biases c per
// change of time, and a dot for what they cause,
//
//   forward    a._l = u_l h_{l-1} + U_l h._{l-1} + c._l,   h._l = phi'(a_l) a._l
//   outputs    delta._N = p_s (d^2 l / df^2) f. + S p_s f.
//   backward   delta._{l-1} = phi'(a_{l-1}) (U_l^T delta._l + u_l^T delta_l) + phi''(a_{l-1}) (U_l^T delta_l) a._{l-1}
//   gradient   dU._l = sum_s delta._l h_{l-1}^T + delta_l h._{l-1}^T
//
// Piecewise linear activations, and hinges, have the Hessian of the piece on which the network is.
//
// The order of all sums is that of samples, units and layers: no bit depends on the engine or on neighbours.
#pragma once

#include "shoal/gradient.hpp"
#include "shoal/monitor.hpp"

#include <cmath>

namespace shoal {

// A product at parameters that `prepare` takes.
template <AnyLanes V>
class HessianProduct {
  public:
    using T = typename V::Scalar;
    static constexpr int L = V::count;

    HessianProduct(const Network& network, const Task<T>& task, const Loss& loss, const Penalty& penalty)
        : network_(network),
          task_(task),
          loss_(loss),
          penalty_(penalty),
          curved_(!is_piecewise_linear(network.activation)),
          factors_(network.for_each_parameter<T>([](const Layer& layer) { return layer.scale * std::sqrt(layer.rate); },
                                                 [](const Layer& layer) { return std::sqrt(layer.rate); })),
          weights_(network.parameters),
          moving_(network.parameters),
          sum_(network.parameters),
          heads_(std::int64_t(task.learnt) * network.outputs()),
          at_start_(network.centred ? std::int64_t(task.learnt) * network.outputs() : 0) {
        for (const Layer& layer : network.layers) {
            const std::int64_t all = std::int64_t(task.learnt) * layer.outputs;
            values_.emplace_back(all), slopes_.emplace_back(all), pulls_.emplace_back(all), bends_.emplace_back(curved_ ? all : 0);
            for (auto* some : {&inflows_, &rates_, &turns_}) some->emplace_back(together * layer.outputs);
        }
    }

    // For centred networks, takes the outputs at these parameters as those at initialisation, in lanes whose `fresh` is not 0.
    template <class Parameters>
    bool centre(const Parameters& parameters, V fresh, const Monitor& monitor) {
        if (!network_.centred) return true;
        take(parameters);
        for (int s = 0; s < task_.learnt; ++s) {
            if (monitor.stopped()) return false;
            forward(s);
            for (std::int64_t at = std::int64_t(s) * network_.outputs(); at < std::int64_t(s + 1) * network_.outputs(); ++at)
                where_less(V(0), fresh, values_.back()[at], at_start_[at]).store(at_start_.at(at));
        }
        return true;
    }

    // Returns false, as the other functions do, if the monitor says stop.
    template <class Parameters>
    bool prepare(const Parameters& parameters, const Monitor& monitor) {
        take(parameters);
        for (int s = 0; s < task_.learnt; ++s) {
            if (monitor.stopped()) return false;
            forward(s);
            pull(s);
            for (int l = network_.hidden_layers(); l > 0; --l) backward(s, l);
        }
        return true;
    }

    // Writes the product with `vector`.
    bool operator()(const Pack<V>& vector, Pack<V>& product, const Monitor& monitor) {
        for (int n = 0; n < network_.parameters; ++n) (V(factors_[n]) * vector[n]).store(moving_.at(n));
        sum_.clear();
        int s = 0;
        for (; s + together <= task_.learnt; s += together) {
            if (monitor.stopped()) return false;
            add_samples<together>(s);
        }
        for (; s < task_.learnt; ++s) add_samples<1>(s);
        for (const Layer& layer : network_.layers) {
            const V decay = T(penalty_.weight_decay * layer.rate);
            const auto write = [&](int n) { fma(decay, vector[n], V(factors_[n]) * sum_[n]).store(product.at(n)); };
            for (int n = 0; n < layer.inputs * layer.outputs; ++n) write(layer.weights + n);
            for (int o = 0; layer.biases >= 0 && o < layer.outputs; ++o) write(layer.biases + o);
        }
        return true;
    }

  private:
    static V of(const T* pack, std::int64_t number) { return V::load(pack + number * L); }

    // Calls act(k, input k of a layer at a sample), in ascending order.
    template <class Act>
    EIGEN_ALWAYS_INLINE void for_each_input(int s, int l, Act&& act) const {
        const int count = network_.layers[l].inputs;
        if (l == 0) {
            const T* const inputs = task_.inputs.data() + std::int64_t(s) * task_.dimension;
            for (int k = 0; k < count; ++k) act(k, V(inputs[k]));
        } else {
            const T* const values = values_[l - 1].at(std::int64_t(s) * count);
            for (int k = 0; k < count; ++k) act(k, of(values, k));
        }
    }

    template <class Parameters>
    void take(const Parameters& parameters) {
        for (const Layer& layer : network_.layers) {
            const V scale = T(layer.scale);
            for (int n = layer.weights; n < layer.weights + layer.inputs * layer.outputs; ++n) (scale * parameters[n]).store(weights_.at(n));
            for (int o = 0; layer.biases >= 0 && o < layer.outputs; ++o) parameters[layer.biases + o].store(weights_.at(layer.biases + o));
        }
    }

    // a, h and phi' of all layers; of the last one a alone.
    void forward(int s) {
        const V slope = T(network_.slope);
        for (int l = 0; l < int(network_.layers.size()); ++l) {
            const Layer& layer = network_.layers[l];
            for (int o = 0; o < layer.outputs; ++o) {
                V a = layer.biases >= 0 ? weights_[layer.biases + o] : V(0);
                const T* const row = weights_.at(layer.weights + o * layer.inputs);
                for_each_input(s, l, [&](int k, V h) { a = fma(h, of(row, k), a); });
                const std::int64_t at = std::int64_t(s) * layer.outputs + o;
                if (l == network_.hidden_layers()) {
                    a.store(values_[l].at(at));
                    continue;
                }
                network_.activation.with([&](auto phi) {
                    const V h = phi.value(a, slope);
                    h.store(values_[l].at(at));
                    phi.times_derivative(decltype(phi)::keeps_pre_activation ? a : h, V(1), slope).store(slopes_[l].at(at));
                    if constexpr (!decltype(phi)::is_piecewise_linear)
                        phi.times_curvature(decltype(phi)::keeps_pre_activation ? a : h, V(1)).store(bends_[l].at(at));
                });
            }
        }
    }

    // delta of the outputs, and what of the second derivative of the loss `turn` needs: of several logits their probabilities.
    void pull(int s) {
        const int outputs = network_.outputs();
        const std::int64_t first = std::int64_t(s) * outputs;
        T *const values = values_.back().at(first), *const pulls = pulls_.back().at(first), *const heads = heads_.at(first);
        const V weight = task_.weights[s], decoupling = T(penalty_.spectral_decoupling) * task_.weights[s];
        for (int k = 0; network_.centred && k < outputs; ++k) (of(values, k) - at_start_[first + k]).store(values + k * L);
        if (task_.targets.empty() && outputs > 1) {
            V top = of(values, 0), sum = 0;
            for (int k = 1; k < outputs; ++k) top = max(top, of(values, k));
            for (int k = 0; k < outputs; ++k) exp(of(values, k) - top).store(heads + k * L);
            softmax_residuals(
                outputs, int(task_.labels[s]), weight, [&](int k) { return of(heads, k); },
                [&](int k, V delta) { fma(decoupling, of(values, k), delta).store(pulls + k * L); });
            for (int k = 0; k < outputs; ++k) sum = sum + of(heads, k);
            for (int k = 0; k < outputs; ++k) (of(heads, k) / sum).store(heads + k * L);
            return;
        }
        for (int k = 0; k < outputs; ++k) {
            const V f = of(values, k), sign = task_.sign(s), target = task_.targets.empty() ? V(0) : V(task_.target(s, k));
            const V residual = task_.targets.empty() ? loss_.residual(sign * f) : Squared::residual(target, f);
            const V curvature = task_.targets.empty() ? loss_.curvature(sign * f) : V(1);
            fma(decoupling, f, -(weight * sign) * residual).store(pulls + k * L);
            fma(weight, curvature, decoupling).store(heads + k * L);
        }
    }

    // delta below layer l, and phi'' times what reaches it.
    void backward(int s, int l) {
        const Layer& layer = network_.layers[l];
        const T* const above = pulls_[l].at(std::int64_t(s) * layer.outputs);
        for (int k = 0; k < layer.inputs; ++k) {
            const std::int64_t at = std::int64_t(s) * layer.inputs + k;
            V sum = 0;
            for (int o = 0; o < layer.outputs; ++o) sum = fma(weights_[layer.weights + o * layer.inputs + k], of(above, o), sum);
            (slopes_[l - 1][at] * sum).store(pulls_[l - 1].at(at));
            if (curved_) (bends_[l - 1][at] * sum).store(bends_[l - 1].at(at));
        }
    }

    // The parts of a product below are those of `some` samples at once, from `s` on: of one, or as many as share each weight that is loaded.
    static constexpr int together = V::registers == 1 ? 4 : 1;

    template <int some>
    void add_samples(int s) {
        for (int l = 0; l < int(network_.layers.size()); ++l) forward_rates<some>(s, l);
        for (int b = 0; b < some; ++b) turn<some>(s + b, b);
        for (int l = network_.hidden_layers(); l >= 0; --l) {
            add<some>(s, l);
            if (l > 0) backward_rates<some>(s, l);
        }
    }

    // Calls act(k, address of input k of the first sample, distance to that of the next).
    template <class Act>
    EIGEN_ALWAYS_INLINE void for_each_input_of_several(int s, int l, Act&& act) const {
        const int count = network_.layers[l].inputs;
        const T* const first = l == 0 ? task_.inputs.data() + std::int64_t(s) * count : values_[l - 1].at(std::int64_t(s) * count);
        for (int k = 0; k < count; ++k) act(k, l == 0 ? first + k : first + k * L, l == 0 ? count : count * L);
    }
    // One of these inputs: a plain number in the first layer.
    template <bool first>
    static EIGEN_ALWAYS_INLINE V input(const T* at) {
        if constexpr (first)
            return V(*at);
        else
            return V::load(at);
    }

    template <int some>
    void forward_rates(int s, int l) {
        l == 0 ? forward_rates<some, true>(s, l) : forward_rates<some, false>(s, l);
    }
    template <int some, bool first>
    void forward_rates(int s, int l) {
        const Layer& layer = network_.layers[l];
        for (int o = 0; o < layer.outputs; ++o) {
            V a[some], through[some];
            SHOAL_UNROLL for (int b = 0; b < some; ++b) a[b] = layer.biases >= 0 ? moving_[layer.biases + o] : V(0), through[b] = V(0);
            const T *const moving = moving_.at(layer.weights + o * layer.inputs), *const row = weights_.at(layer.weights + o * layer.inputs);
            const T* const rates = first ? nullptr : rates_[l - 1].at(0);
            for_each_input_of_several(s, l, [&](int k, const T* h, std::int64_t apart) {
                const V u = of(moving, k), w = of(row, k);
                SHOAL_UNROLL for (int b = 0; b < some; ++b) {
                    a[b] = fma(input<first>(h + b * apart), u, a[b]);
                    if constexpr (!first) through[b] = fma(w, of(rates, k * some + b), through[b]);
                }
            });
            SHOAL_UNROLL for (int b = 0; b < some; ++b) {
                const V inflow = a[b] + through[b];
                inflow.store(inflows_[l].at(o * some + b));
                if (l < network_.hidden_layers()) (slopes_[l][std::int64_t(s + b) * layer.outputs + o] * inflow).store(rates_[l].at(o * some + b));
            }
        }
    }

    // delta. of the outputs of sample s, which is number b of `some`. Of logits: p_k sum_j p_j (f._k - f._j), in which nothing cancels but equal rates.
    template <int some>
    void turn(int s, int b) {
        const int outputs = network_.outputs();
        const T* const heads = heads_.at(std::int64_t(s) * outputs);
        const Pack<V>& rates = inflows_.back();
        Pack<V>& turns = turns_.back();
        const V weight = task_.weights[s], decoupling = T(penalty_.spectral_decoupling) * task_.weights[s];
        for (int k = 0; k < outputs; ++k) {
            const V rate = rates[k * some + b];
            if (outputs == 1 || !task_.targets.empty()) {
                (of(heads, k) * rate).store(turns.at(k * some + b));
                continue;
            }
            V sum = 0;
            for (int j = 0; j < outputs; ++j) sum = fma(of(heads, j), rate - rates[j * some + b], sum);
            fma(decoupling, rate, weight * of(heads, k) * sum).store(turns.at(k * some + b));
        }
    }

    template <int some>
    void backward_rates(int s, int l) {
        const Layer& layer = network_.layers[l];
        const T *const pulls = pulls_[l].at(std::int64_t(s) * layer.outputs), *const turns = turns_[l].at(0);
        for (int k = 0; k < layer.inputs; ++k) {
            V one[some], other[some];
            SHOAL_UNROLL for (int b = 0; b < some; ++b) one[b] = other[b] = V(0);
            for (int o = 0; o < layer.outputs; ++o) {
                const V w = weights_[layer.weights + o * layer.inputs + k], u = moving_[layer.weights + o * layer.inputs + k];
                SHOAL_UNROLL for (int b = 0; b < some; ++b) {
                    one[b] = fma(w, of(turns, o * some + b), one[b]);
                    other[b] = fma(u, of(pulls, std::int64_t(b) * layer.outputs + o), other[b]);
                }
            }
            SHOAL_UNROLL for (int b = 0; b < some; ++b) {
                const std::int64_t at = std::int64_t(s + b) * layer.inputs + k;
                V turn = slopes_[l - 1][at] * (one[b] + other[b]);
                if (curved_) turn = fma(bends_[l - 1][at], inflows_[l - 1][k * some + b], turn);
                turn.store(turns_[l - 1].at(k * some + b));
            }
        }
    }

    template <int some>
    void add(int s, int l) {
        l == 0 ? add<some, true>(s, l) : add<some, false>(s, l);
    }
    template <int some, bool first>
    void add(int s, int l) {
        const Layer& layer = network_.layers[l];
        const T *const turns = turns_[l].at(0), *const rates = first ? nullptr : rates_[l - 1].at(0);
        for (int o = 0; o < layer.outputs; ++o) {
            V turn[some], pull[some];
            SHOAL_UNROLL for (int b = 0; b < some; ++b) turn[b] = of(turns, o * some + b), pull[b] = pulls_[l][std::int64_t(s + b) * layer.outputs + o];
            T* const to = sum_.at(layer.weights + o * layer.inputs);
            for_each_input_of_several(s, l, [&](int k, const T* h, std::int64_t apart) {
                V sum = of(to, k);
                SHOAL_UNROLL for (int b = 0; b < some; ++b) {
                    sum = fma(turn[b], input<first>(h + b * apart), sum);
                    if constexpr (!first) sum = fma(pull[b], of(rates, k * some + b), sum);
                }
                sum.store(to + k * L);
            });
            if (layer.biases < 0) continue;
            V sum = sum_[layer.biases + o];
            SHOAL_UNROLL for (int b = 0; b < some; ++b) sum = sum + turn[b];
            sum.store(sum_.at(layer.biases + o));
        }
    }

    const Network& network_;
    const Task<T>& task_;
    const Loss loss_;
    const Penalty penalty_;
    const bool curved_;
    const std::vector<T> factors_;  // s r^(1/2) of each weight, r^(1/2) of each bias
    Pack<V> weights_, moving_, sum_;  // effective weights and biases, how they move, and the derivative of their gradient
    Pack<V> heads_, at_start_;  // samples x outputs: second derivatives of the loss, or probabilities; of centred networks f at first
    std::vector<Pack<V>> values_, slopes_, pulls_, bends_;  // samples x units of each layer: h, phi', delta, and phi'' times what reaches it
    std::vector<Pack<V>> inflows_, rates_, turns_;  // units of each layer x samples at once: a., h. and delta.
};

}  // namespace shoal
