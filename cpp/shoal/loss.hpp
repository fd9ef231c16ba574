// The losses l(m) of the margin m = y f, and the residual r(m) = -l'(m) that drives learning.
//
//   cross_entropy ln(1 + e^-m), 1/(1 + e^m)     exponential e^-m, e^-m     squared (1-m)^2/2, 1-m
//   hinge (h-m)_+, 1[m<h]                       squared_hinge (h-m)_+^2/2, (h-m)_+
#pragma once

#include "shoal/elementary.hpp"

#include <stdexcept>
#include <string>

namespace shoal {

enum class LossKind { cross_entropy, hinge, squared_hinge, exponential, squared };

// What is added to the loss that is descended, not to the one that is recorded: L/2 |theta|^2 + S/2 sum_s p_s |f(x_s)|^2.
struct Penalty {
    double weight_decay = 0;         // L, on all weights and biases
    double spectral_decoupling = 0;  // S, on all outputs
};

struct Loss {
    LossKind kind;
    double threshold;  // h of hinge and squared_hinge

    Loss(const std::string& name, double threshold) : kind(named(name)), threshold(threshold) {}

    static LossKind named(const std::string& name) {
        if (name == "cross_entropy") return LossKind::cross_entropy;
        if (name == "hinge") return LossKind::hinge;
        if (name == "squared_hinge") return LossKind::squared_hinge;
        if (name == "exponential") return LossKind::exponential;
        if (name == "squared") return LossKind::squared;
        throw std::invalid_argument("loss must be cross_entropy, hinge, squared_hinge, exponential or squared, got " + name);
    }
};

// 1/(1 + e^m), accurate in both tails: the residual of cross-entropy, and the soft error.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V sigmoid_of_minus(V m) {
    const V one = 1, e = exp_minus_abs(m);
    return where_less(V(0), m, e, one) / (one + e);
}

// The largest of `outputs` logits `logit(k)` but for that of class `own`: the margin of K classes is own's logit less this one.
template <class Logit>
EIGEN_ALWAYS_INLINE auto largest_other(int outputs, int own, const Logit& logit) {
    auto top = logit(own == 0 ? 1 : 0);
    for (int k = 0; k < outputs; ++k)
        if (k != own) top = max(top, logit(k));
    return top;
}

// r(m).
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V residual(LossKind kind, V threshold, V m) {
    const V zero = 0, one = 1;
    switch (kind) {
        case LossKind::cross_entropy: return sigmoid_of_minus(m);
        case LossKind::hinge: return where_less(m, threshold, one, zero);
        case LossKind::squared_hinge: return max(threshold - m, zero);
        case LossKind::exponential: return exp(-m);
        case LossKind::squared: return one - m;
    }
    return zero;
}

// l(m).
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V loss_value(LossKind kind, V threshold, V m) {
    const V zero = 0, half = 0.5;
    switch (kind) {
        case LossKind::cross_entropy: return max(-m, zero) + log1p(exp_minus_abs(m));
        case LossKind::hinge: return max(threshold - m, zero);
        case LossKind::squared_hinge: {
            const V short_of = max(threshold - m, zero);
            return half * short_of * short_of;
        }
        case LossKind::exponential: return exp(-m);
        case LossKind::squared: {
            const V short_of = V(1) - m;
            return half * short_of * short_of;
        }
    }
    return zero;
}

// Finite exactly where the margin m and l(m) are, given r = r(m): a network has diverged where that of a sample which it learns is not.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V witness(LossKind kind, V threshold, V r, V m) {
    const V half = 0.5;
    switch (kind) {
        case LossKind::cross_entropy: return m;
        case LossKind::hinge: return threshold - m;
        case LossKind::squared_hinge: return fma(half * r, r, m);
        case LossKind::exponential: return r + m;
        case LossKind::squared: return half * r * r;
    }
    return m;
}

}  // namespace shoal
