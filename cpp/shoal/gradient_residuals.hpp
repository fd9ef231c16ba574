// The residuals of Gradient: from the outputs of a block of samples to the derivative of what is descended by each output.
#pragma once

#include "shoal/gradient.hpp"

namespace shoal {

template <AnyLanes V>
V Gradient<V>::witness(int first, int sample) const {
    const auto of = [&](int k) { return output(sample, k); };
    if (!task_.targets.empty()) return loss_of_targets<V>(network_.outputs(), [&](int k) { return task_.target(first + sample, k); }, of);
    const int own = int(task_.labels[first + sample]);
    if (network_.outputs() == 1) return loss_.witness(V(T(own)) * output(sample, 0));
    return witness_of_logits(network_.outputs(), own, of);
}

template <AnyLanes V>
template <bool decoupled>
void Gradient<V>::residuals(int first, int count) {
    if (held_ && held_->map.hinge >= 0) return held_residuals<decoupled>(first, count);
    if (!task_.targets.empty()) return residuals_of_targets<decoupled>(first, count);
    if (network_.outputs() > 1) return residuals_of_logits<decoupled>(first, count);
    loss_.kind.with([&](auto loss) { residuals_of<decltype(loss), decoupled>(first, count); });
}

// f -> delta = -p y r(y f) + S p f. Takes four samples at a time if a pack has one register per number: exponential and division are long dependency chains,
// and four of them hide the latency.
template <AnyLanes V>
template <class Kind, bool decoupled>
void Gradient<V>::residuals_of(int first, int count) {
    V lost = lost_;
    const auto some = [&]<class Several>(Several, int s) __attribute__((always_inline)) {
        T* const at = values_.back().at(s);
        const Several y = Several::template spread<V::registers>(&signs_[first + s]), minus_yp = Several::template spread<V::registers>(&pulls_[first + s]);
        const Several threshold = T(loss_.threshold), f = Several::load(at), m = y * f, r = Kind::residual(threshold, m), delta = minus_yp * r;
        lost = gather_not_finite(lost, Kind::witness(threshold, r, m));
        if constexpr (decoupled)
            fma(Several::template spread<V::registers>(&decouples_[first + s]), f, delta).store(at);
        else
            delta.store(at);
    };
    constexpr int together = V::registers == 1 ? 4 : 1;
    int s = 0;
    for (; s + together <= count; s += together) some(Lanes<T, together * V::registers>(), s);
    for (; s < count; ++s) some(V(), s);
    lost_ = lost;
}

// o_k -> delta_k = p (softmax_k - 1[own]) + S p o_k.
template <AnyLanes V>
template <bool decoupled>
void Gradient<V>::residuals_of_logits(int first, int count) {
    Pack<V>& values = values_.back();
    const int outputs = network_.outputs();
    for (int s = 0; s < count; ++s) {
        const std::int64_t row = s * rows_.back();
        lost_ = gather_not_finite(lost_, witness(first, s));
        V top = values[row];
        for (int k = 1; k < outputs; ++k) top = max(top, values[row + k]);
        for (int k = 0; k < outputs; ++k) exp(values[row + k] - top).store(exponentials_.at(k));
        const auto put = [&](int k, V delta) {
            if constexpr (decoupled) delta = fma(V(decouples_[first + s]), values[row + k], delta);
            delta.store(values.at(row + k));
        };
        softmax_residuals(outputs, int(task_.labels[first + s]), V(task_.weights[first + s]), [&](int k) { return exponentials_[k]; }, put);
    }
}

// o_k -> delta_k = -p (t_k - o_k) + S p o_k.
template <AnyLanes V>
template <bool decoupled>
void Gradient<V>::residuals_of_targets(int first, int count) {
    const int outputs = network_.outputs();
    const T* targets = task_.targets.data() + std::int64_t(first) * outputs;
    V lost = lost_;
    for (int s = 0; s < count; ++s, targets += outputs) {
        T* const row = values_.back().at(s * rows_.back());
        const V minus_p = pulls_[first + s];
        const auto target = [targets](int k) { return V(targets[k]); };
        const auto output = [row](int k) { return V::load(row + k * V::count); };
        lost = gather_not_finite(lost, loss_of_targets<V>(outputs, target, output));
        for (int k = 0; k < outputs; ++k) {
            V delta = minus_p * Squared::residual(target(k), output(k));
            if constexpr (decoupled) delta = fma(V(decouples_[first + s]), output(k), delta);
            delta.store(row + k * V::count);
        }
    }
    lost_ = lost;
}

}  // namespace shoal
