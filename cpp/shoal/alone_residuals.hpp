// From the outputs of a block to what pulls at them, for one network that trains alone.
#pragma once

#include "shoal/alone_passes.hpp"

namespace shoal::alone {

// f -> delta = -p y r(y f) + S p f.
template <class T>
template <bool decoupled>
void Passes<T>::residuals(const Block& block) {
    loss_.kind.with([&](auto kind) {
        const V threshold = T(loss_.threshold);
        for (int n = 0; n < packs_of<V>(block.count); ++n) {
            const V f = outputs_[n], m = inputs_.signs[n] * f;
            V delta = inputs_.pulls[n] * kind.residual(threshold, m);
            if constexpr (decoupled) delta = fma(inputs_.decouples[n], f, delta);
            delta.store(outputs_.at(n));
        }
    });
}

// o_k -> delta_k = p (softmax_k - 1[k = own]) + S p o_k. Of a pack each lane has a class of its own.
template <class T>
template <bool decoupled>
void Passes<T>::residuals_of_logits(const Samples<T>& samples, const Block& block) {
    const int outputs = network_.outputs();
    for (int n = 0; n < packs_of<V>(block.count); ++n) {
        const V own = inputs_.signs[n];
        alignas(64) T weights[L] = {};
        for (int lane = 0; lane < std::min(L, block.count - n * L); ++lane) weights[lane] = samples.task.weights[block.sample(n * L + lane)];
        V top = outputs_[n];
        for (int k = 1; k < outputs; ++k) top = max(top, outputs_[k * row_ + n]);
        V sum = 0, others = 0;
        const auto is_own = [&](int k, V x, V y) { return where_less(V(T(k)) - own, V(T(0.5)), where_less(own - V(T(k)), V(T(0.5)), x, y), y); };
        for (int k = 0; k < outputs; ++k) {
            const V e = exp(outputs_[k * row_ + n] - top);
            e.store(exponentials_.at(k));
            sum = sum + e;
            others = is_own(k, others, others + e);
        }
        const V scale = V::load(weights) / sum;
        for (int k = 0; k < outputs; ++k) {
            V delta = is_own(k, -(scale * unless_tiny(others)), scale * unless_tiny(exponentials_[k]));
            if constexpr (decoupled) delta = fma(inputs_.decouples[n], outputs_[k * row_ + n], delta);
            delta.store(outputs_.at(k * row_ + n));
        }
    }
}

// o_k -> delta_k = -p (t_k - o_k) + S p o_k.
template <class T>
template <bool decoupled>
void Passes<T>::residuals_of_targets(const Block& block) {
    for (int k = 0; k < network_.outputs(); ++k)
        for (int n = 0; n < packs_of<V>(block.count); ++n) {
            const std::int64_t at = k * row_ + n;
            const V o = outputs_[at];
            V delta = inputs_.pulls[n] * Squared::residual(V(inputs_.targets[at]), o);
            if constexpr (decoupled) delta = fma(inputs_.decouples[n], o, delta);
            delta.store(outputs_.at(at));
        }
}

}  // namespace shoal::alone
