// The output layer of Gradient, if a single output follows a curved activation. Its products are small beside the walks over the values of the layer below, so
// each pass makes one walk: the output is summed while phi is applied, and the slopes of the output's weights while phi' is.
#pragma once

#include "shoal/gradient.hpp"

namespace shoal {

// h = phi(a) in place of a, and f_s = b + sum_o h_so z_o.
template <AnyLanes V>
void Gradient<V>::activate_to_output(const Pack<V>& parameters, int count) {
    const int l = network_.hidden_layers() - 1;
    const Layer& head = network_.layers.back();
    const V bias = head.biases < 0 ? V(0) : parameters[head.biases];
    const T* const z = parameters.at(head.weights);
    with_curved(network_.activation, [&](auto phi) {
        for (int s = 0; s < count; ++s) {
            const std::int64_t row = s * rows_[l];
            V f = bias;
            activate_row<V>(phi, values_[l].at(row), kept(l).at(row), head.inputs,
                            [&](int o, V h) __attribute__((always_inline)) { f = fma(h, V::load(z + o * V::count), f); });
            f.store(values_.back().at(s));
        }
    });
}

// dz_o += sum_s delta_s h_so, and delta_so = phi'(a_so) (delta_s z_o) in place of h. Several units at a time hide the latency of their sums.
template <AnyLanes V>
void Gradient<V>::backward_from_output(const Pack<V>& parameters, int first, int count) {
    const int l = network_.hidden_layers() - 1;
    const Layer& head = network_.layers.back();
    const T* const delta = values_.back().at(0);
    const std::int64_t row = rows_[l] * V::count;
    with_curved(network_.activation, [&](auto phi) {
        const auto walk = [&]<int together>(std::integral_constant<int, together>, int o) __attribute__((always_inline)) {
            T *const to = slope_.at(head.weights + o), *at = values_[l].at(o);
            const T* from = kept(l).at(o);
            V z[together], sum[together];
            SHOAL_UNROLL for (int u = 0; u < together; ++u) {
                z[u] = parameters[head.weights + o + u];
                sum[u] = first == share_first_ ? V(0) : V::load(to + u * V::count);
            }
            for (int s = 0; s < count; ++s, at += row, from += row) {
                const V delta_s = V::load(delta + std::int64_t(s) * V::count);
                SHOAL_UNROLL for (int u = 0; u < together; ++u) {
                    const V h = V::load(at + u * V::count);
                    sum[u] = fma(delta_s, h, sum[u]);
                    V kept_of_a = h;
                    if constexpr (decltype(phi)::keeps_pre_activation) kept_of_a = V::load(from + u * V::count);
                    phi.times_derivative(kept_of_a, fma(delta_s, z[u], V(0)), V(0)).store(at + u * V::count);
                }
            }
            SHOAL_UNROLL for (int u = 0; u < together; ++u) sum[u].store(to + u * V::count);
        };
        constexpr int together = V::registers == 1 ? 4 : 1;
        int o = 0;
        for (; o + together <= head.inputs; o += together) walk(std::integral_constant<int, together>(), o);
        for (; o < head.inputs; ++o) walk(std::integral_constant<int, 1>(), o);
    });
}

}  // namespace shoal
