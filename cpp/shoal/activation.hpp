// The activations phi and their derivatives, on lanes. Each activation is one type below and one entry of Activation.
//
// Most derivatives are computed from the value h = phi(a), so that only h is stored between forward and backward pass:
//   relu 1[h>0]   leaky_relu 1 or slope   linear 1   tanh 1 - h^2   softplus 1 - e^-h
// Those of others need the pre-activation a, which is then kept beside h:
//   erf 2/sqrt(pi) e^(-a^2)   quadratic 2a
#pragma once

#include "shoal/choice.hpp"
#include "shoal/elementary.hpp"

#include <limits>

namespace shoal {

// ln 2, and the next larger number.
template <class T>
inline constexpr T ln2 = T(0.693147180559945309);
template <class T>
inline constexpr T above_ln2 = ln2<T> * (1 + std::numeric_limits<T>::epsilon());

// ln(1 + e^a) for every a. It is above ln 2 if and only if a > 0, so that h gives the sign of a; rounding alone would lose it for |a| < 2e-16 (1e-7 in single
// precision). NaN stays NaN.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V softplus(V a) {
    using T = typename V::Scalar;
    const V h = max(a, V(0)) + log1p(exp_minus_abs(a));
    return where_less(V(0), a, larger(h, V(above_ln2<T>)), min(h, V(ln2<T>)));
}

// Each activation has `value`, phi(a); `times_derivative`, phi'(a) x given what is kept of a, which is a itself if `keeps_pre_activation`, else h = phi(a); if
// it is curved, `times_curvature`, phi''(a) x; and `active_above`, the kept number above which a unit counts as active because its pre-activation is positive. A
// kink is at a = 0; below it the derivative is `closed_gate`.

struct Relu {
    static constexpr const char* name = "relu";
    static constexpr bool is_piecewise_linear = true, has_kink = true, keeps_pre_activation = false;
    static constexpr double active_above = 0;

    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V value(V a, V) {
        return relu(a);
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V times_derivative(V h, V x, V) {
        return keep_where_positive(h, x);
    }
    static double closed_gate(double) { return 0; }
};

struct LeakyRelu {
    static constexpr const char* name = "leaky_relu";
    static constexpr bool is_piecewise_linear = true, has_kink = true, keeps_pre_activation = false;
    static constexpr double active_above = 0;

    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V value(V a, V slope) {
        return where_less(a, V(0), slope * a, a);
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V times_derivative(V h, V x, V slope) {
        return where_less(V(0), h, x, slope * x);
    }
    static double closed_gate(double slope) { return slope; }
};

struct Linear {
    static constexpr const char* name = "linear";
    static constexpr bool is_piecewise_linear = true, has_kink = false, keeps_pre_activation = false;
    static constexpr double active_above = 0;

    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V value(V a, V) {
        return a;
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V times_derivative(V, V x, V) {
        return x;
    }
};

struct Tanh {
    static constexpr const char* name = "tanh";
    static constexpr bool is_piecewise_linear = false, has_kink = false, keeps_pre_activation = false;
    static constexpr double active_above = 0;

    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V value(V a, V) {
        return tanh(a);
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V times_derivative(V h, V x, V) {
        return fma(-h, h, V(1)) * x;
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V times_curvature(V h, V x) {
        return V(typename V::Scalar(-2)) * h * (fma(-h, h, V(1)) * x);
    }
};

struct Softplus {
    static constexpr const char* name = "softplus";
    static constexpr bool is_piecewise_linear = false, has_kink = false, keeps_pre_activation = false;
    static constexpr double active_above = ln2<double>;

    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V value(V a, V) {
        return softplus(a);
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V times_derivative(V h, V x, V) {
        return -expm1(-h) * x;
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V times_curvature(V h, V x) {
        return -expm1(-h) * exp(-h) * x;
    }
};

struct Erf {
    static constexpr const char* name = "erf";
    static constexpr bool is_piecewise_linear = false, has_kink = false, keeps_pre_activation = true;
    static constexpr double active_above = 0;

    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V value(V a, V) {
        return erf(a);
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V times_derivative(V a, V x, V) {
        return erf_slope(a) * x;
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V times_curvature(V a, V x) {
        return V(typename V::Scalar(-2)) * a * (erf_slope(a) * x);
    }
};

struct Quadratic {
    static constexpr const char* name = "quadratic";
    static constexpr bool is_piecewise_linear = false, has_kink = false, keeps_pre_activation = true;
    static constexpr double active_above = 0;

    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V value(V a, V) {
        return a * a;
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V times_derivative(V a, V x, V) {
        return (a + a) * x;
    }
    template <AnyLanes V>
    static EIGEN_ALWAYS_INLINE V times_curvature(V, V x) {
        return x + x;
    }
};

using Activation = Choice<Relu, LeakyRelu, Linear, Tanh, Softplus, Erf, Quadratic>;

inline bool is_piecewise_linear(Activation activation) {
    return activation.with([](auto phi) { return decltype(phi)::is_piecewise_linear; });
}
inline bool keeps_pre_activation(Activation activation) {
    return activation.with([](auto phi) { return decltype(phi)::keeps_pre_activation; });
}
inline double active_above(Activation activation) {
    return activation.with([](auto phi) { return decltype(phi)::active_above; });
}

// phi(a).
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V activate(Activation activation, V a, V slope) {
    return activation.with([=](auto phi) { return phi.value(a, slope); });
}

// phi'(a) x, given what is kept of a.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V times_derivative(Activation activation, V kept, V x, V slope) {
    return activation.with([=](auto phi) { return phi.times_derivative(kept, x, slope); });
}

// Calls act(phi) if the activation is piecewise linear, or, in the second function, if it is curved; else does nothing.
template <class Act>
EIGEN_ALWAYS_INLINE void with_piecewise_linear(Activation activation, const Act& act) {
    activation.with([&](auto phi) __attribute__((always_inline)) {
        if constexpr (decltype(phi)::is_piecewise_linear) act(phi);
    });
}
template <class Act>
EIGEN_ALWAYS_INLINE void with_curved(Activation activation, const Act& act) {
    activation.with([&](auto phi) __attribute__((always_inline)) {
        if constexpr (!decltype(phi)::is_piecewise_linear) act(phi);
    });
}

// Replaces a by h = phi(a) in a row of numbers, for a curved activation, and calls see(number, h) for each. If the activation keeps pre-activations, they go to
// the same places of `kept`, which nobody looks at otherwise.
template <AnyLanes V, class Phi, class See>
EIGEN_ALWAYS_INLINE void activate_row(Phi phi, typename V::Scalar* row, typename V::Scalar* kept, int count, const See& see) {
    for (int n = 0; n < count; ++n) {
        const V a = V::load(row + std::int64_t(n) * V::count);
        if constexpr (Phi::keeps_pre_activation) a.store(kept + std::int64_t(n) * V::count);
        const V h = phi.value(a, V(0));
        h.store(row + std::int64_t(n) * V::count);
        see(n, h);
    }
}

// The same in `rows` rows of `count` numbers, `row` numbers apart; does nothing for piecewise linear activations.
template <AnyLanes V>
void activate_all(Activation activation, typename V::Scalar* values, typename V::Scalar* kept, int rows, int count, std::int64_t row) {
    with_curved(activation, [=](auto phi) {
        for (std::int64_t first = 0; first < rows * row * V::count; first += row * V::count)
            activate_row<V>(phi, values + first, kept + first, count, [](int, V) {});
    });
}

// Replaces h by phi'(a), likewise.
template <AnyLanes V>
void differentiate_all(Activation activation, typename V::Scalar* values, const typename V::Scalar* kept, std::int64_t rows, std::int64_t count,
                       std::int64_t row) {
    with_curved(activation, [=](auto phi) {
        for (auto* first = values; first != values + rows * row * V::count; first += row * V::count)
            for (auto* at = first; at != first + count * V::count; at += V::count) {
                const auto* const from = decltype(phi)::keeps_pre_activation ? kept + (at - values) : at;
                phi.times_derivative(V::load(from), V(1), V(0)).store(at);
            }
    });
}

}  // namespace shoal
