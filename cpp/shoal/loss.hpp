// The losses l(m) of the margin m = y f, and the residual r(m) = -l'(m) that drives learning. Each loss with its residual:
//
//   cross_entropy ln(1 + e^-m), 1/(1 + e^m)     exponential e^-m, e^-m     squared (h-m)^2/2, h-m, with h = 1
//   hinge (h-m)_+, 1[m<h]                       squared_hinge (h-m)_+^2/2, (h-m)_+
//
// Each loss is one type below and one entry of LossKind. With K outputs the loss is cross-entropy; its residuals, margin and witness follow from the K logits.
//
// If a task has targets (task.hpp), the loss is the squared one of each output, added up, with the output in place of m and its target in place of h.
#pragma once

#include "shoal/choice.hpp"
#include "shoal/elementary.hpp"

namespace shoal {

// Penalties, added to the loss that training descends but not to the recorded loss: L/2 |theta|^2 + S/2 sum_s p_s |f(x_s)|^2.
struct Penalty {
    double weight_decay = 0;         // L, on all weights and biases
    double spectral_decoupling = 0;  // S, on all outputs
};

// Residuals and curvatures so small count as 0. They change no weight, but their products with weights and inputs would be subnormal numbers, of which one takes
// some CPUs as long as a hundred others.
template <std::floating_point T>
constexpr T least_residual = std::numeric_limits<T>::min() * T(1 << 26);

template <AnyLanes V>
EIGEN_ALWAYS_INLINE V unless_tiny(V residual) {
    return where_less(residual, V(least_residual<typename V::Scalar>), V(0), residual);
}
template <std::floating_point T>
EIGEN_ALWAYS_INLINE T unless_tiny(T residual) {
    return residual < least_residual<T> ? T(0) : residual;
}

// 1/(1 + e^m) for every m, accurate in both tails: the residual of cross-entropy, and the soft error.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V sigmoid_of_minus(V m) {
    const V one = 1, e = exp_minus_abs(m);
    return where_less(V(0), m, e, one) / (one + e);
}

// What the residual does at the threshold: nothing, bend or jump.
enum class Kink { none, bend, jump };

// Each loss, with its threshold h, has `value` l(m), `residual` r(m), `curvature` l''(m) where l is smooth, and `witness`, which given r = r(m) is finite if and
// only if m and l(m) are. A network has diverged if the witness of a sample that it learns is not finite.

struct CrossEntropy {
    static constexpr const char* name = "cross_entropy";
    static constexpr Kink kink = Kink::none;

    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V value(V, V m) {
        return max(-m, V(0)) + log1p(exp_minus_abs(m));
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V residual(V, V m) {
        return unless_tiny(sigmoid_of_minus(m));
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V curvature(V, V m) {
        return unless_tiny(sigmoid_of_minus(m) * sigmoid_of_minus(-m));
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V witness(V, V, V m) {
        return m;
    }
};

struct Hinge {
    static constexpr const char* name = "hinge";
    static constexpr Kink kink = Kink::jump;

    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V value(V h, V m) {
        return max(h - m, V(0));
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V residual(V h, V m) {
        return where_less(m, h, V(1), V(0));
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V curvature(V, V) {
        return V(0);
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V witness(V h, V, V m) {
        return h - m;
    }
};

struct SquaredHinge {
    static constexpr const char* name = "squared_hinge";
    static constexpr Kink kink = Kink::bend;

    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V value(V h, V m) {
        const V short_of = max(h - m, V(0));
        return V(0.5) * short_of * short_of;
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V residual(V h, V m) {
        return max(h - m, V(0));
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V curvature(V h, V m) {
        return where_less(m, h, V(1), V(0));
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V witness(V, V r, V m) {
        return fma(V(0.5) * r, r, m);
    }
};

struct Exponential {
    static constexpr const char* name = "exponential";
    static constexpr Kink kink = Kink::none;

    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V value(V, V m) {
        return exp(-m);
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V residual(V, V m) {
        return unless_tiny(exp(-m));
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V curvature(V, V m) {
        return unless_tiny(exp(-m));
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V witness(V, V r, V m) {
        return r + m;
    }
};

struct Squared {
    static constexpr const char* name = "squared";
    static constexpr Kink kink = Kink::none;

    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V value(V h, V m) {
        const V short_of = h - m;
        return V(0.5) * short_of * short_of;
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V residual(V h, V m) {
        return h - m;
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V curvature(V, V) {
        return V(1);
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V witness(V, V r, V) {
        return V(0.5) * r * r;
    }
};

using LossKind = Choice<CrossEntropy, Hinge, SquaredHinge, Exponential, Squared>;

struct Loss {
    LossKind kind;
    double threshold;  // h

    Loss(const std::string& name, double threshold) : kind("loss", name), threshold(threshold) {}

    Kink kink() const {
        return kind.with([](auto loss) { return decltype(loss)::kink; });
    }
    template <AnyLanes V>
    EIGEN_ALWAYS_INLINE V value(V m) const {
        return kind.with([h = lanes<V>(), m](auto loss) { return loss.value(h, m); });
    }
    template <AnyLanes V>
    EIGEN_ALWAYS_INLINE V residual(V m) const {
        return kind.with([h = lanes<V>(), m](auto loss) { return loss.residual(h, m); });
    }
    template <AnyLanes V>
    EIGEN_ALWAYS_INLINE V curvature(V m) const {
        return kind.with([h = lanes<V>(), m](auto loss) { return loss.curvature(h, m); });
    }
    template <AnyLanes V>
    EIGEN_ALWAYS_INLINE V witness(V m) const {
        return kind.with([h = lanes<V>(), m](auto loss) { return loss.witness(h, loss.residual(h, m), m); });
    }

  private:
    template <AnyLanes V>
    EIGEN_ALWAYS_INLINE V lanes() const {
        return V(typename V::Scalar(threshold));
    }
};

// The loss of outputs that have targets: finite if and only if it and all outputs are.
template <class V, class Target, class Output>
EIGEN_ALWAYS_INLINE V loss_of_targets(int outputs, const Target& target, const Output& output) {
    V sum = Squared::value(V(target(0)), V(output(0)));
    for (int k = 1; k < outputs; ++k) sum = sum + Squared::value(V(target(k)), V(output(k)));
    return sum;
}

// K outputs. A logit is a number of one network, or lanes with one number per network.

// The largest logit of all classes but `own`; the margin is own's logit minus this one.
template <class Logit>
EIGEN_ALWAYS_INLINE auto largest_other(int outputs, int own, const Logit& logit) {
    auto top = logit(own == 0 ? 1 : 0);
    for (int k = 0; k < outputs; ++k)
        if (k != own) top = max(top, logit(k));
    return top;
}

// Finite if and only if all logits and the loss of class `own` are.
template <class Logit>
EIGEN_ALWAYS_INLINE auto witness_of_logits(int outputs, int own, const Logit& logit) {
    auto top = logit(0), nothing = top - top;
    for (int k = 1; k < outputs; ++k) {
        const auto o = logit(k);
        top = max(top, o);
        nothing = nothing + (o - o);
    }
    return top - logit(own) + nothing;
}

// Calls put(k, p (softmax_k - 1[k = own])) for each k, given the weight p of the sample and exponential(k) = e^(o_k - max_j o_j). Own's number is minus the
// probability of the other classes, so that nothing cancels. Tiny exponentials count as 0, like tiny residuals.
template <class Number, class Exponential, class Put>
EIGEN_ALWAYS_INLINE void softmax_residuals(int outputs, int own, Number weight, const Exponential& exponential, const Put& put) {
    Number sum = 0, others = 0;
    for (int k = 0; k < outputs; ++k) {
        const Number e = exponential(k);
        sum = sum + e;
        if (k != own) others = others + e;
    }
    const Number scale = weight / sum;
    for (int k = 0; k < outputs; ++k) put(k, k == own ? -(scale * unless_tiny(others)) : scale * unless_tiny(exponential(k)));
}

}  // namespace shoal
