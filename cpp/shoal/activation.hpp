// The activations phi and their derivatives, on lanes.
//
// The derivative is always taken from the value h = phi(a), so that only h is stored between forward and backward:
//   relu 1[h>0]   leaky_relu 1 or slope   linear 1   tanh 1 - h^2   softplus 1 - e^-h
#pragma once

#include "shoal/elementary.hpp"

#include <limits>
#include <stdexcept>
#include <string>

namespace shoal {

enum class Activation { relu, leaky_relu, linear, tanh, softplus };

inline Activation activation_named(const std::string& name) {
    if (name == "relu") return Activation::relu;
    if (name == "leaky_relu") return Activation::leaky_relu;
    if (name == "linear") return Activation::linear;
    if (name == "tanh") return Activation::tanh;
    if (name == "softplus") return Activation::softplus;
    throw std::invalid_argument("activation must be relu, leaky_relu, linear, tanh or softplus, got " + name);
}

inline bool is_piecewise_linear(Activation activation) { return activation <= Activation::linear; }

// ln 2, and the next number above it.
template <class T>
inline constexpr T ln2 = T(0.693147180559945309);
template <class T>
inline constexpr T above_ln2 = ln2<T> * (1 + std::numeric_limits<T>::epsilon());

// ln(1 + e^a). Above ln 2 if and only if a > 0, so that h tells the sign of a: by rounding alone it would not for |a| < 2e-16 (float 1e-7). NaN stays NaN.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V softplus(V a) {
    using T = typename V::Scalar;
    const V h = max(a, V(0)) + log1p(exp_minus_abs(a));
    return where_less(V(0), a, larger(h, V(above_ln2<T>)), min(h, V(ln2<T>)));
}

// phi(a).
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V activate(Activation activation, V a, V slope) {
    switch (activation) {
        case Activation::relu: return relu(a);
        case Activation::leaky_relu: return where_less(a, V(0), slope * a, a);
        case Activation::linear: return a;
        case Activation::tanh: return tanh(a);
        case Activation::softplus: return softplus(a);
    }
    return a;
}

// phi'(a) x, given h = phi(a).
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V times_derivative(Activation activation, V h, V x, V slope) {
    switch (activation) {
        case Activation::relu: return keep_where_positive(h, x);
        case Activation::leaky_relu: return where_less(V(0), h, x, slope * x);
        case Activation::linear: return x;
        case Activation::tanh: return fma(-h, h, V(1)) * x;
        case Activation::softplus: return -expm1(-h) * x;
    }
    return x;
}

// act(constant) with a callable that gives the piecewise linear activation as a constant expression, so that the compiler sees one case.
template <class Act>
EIGEN_ALWAYS_INLINE void with_piecewise_linear(Activation activation, Act&& act) {
    if (activation == Activation::relu) return act([] { return Activation::relu; });
    if (activation == Activation::leaky_relu) return act([] { return Activation::leaky_relu; });
    return act([] { return Activation::linear; });
}

// The same with one that is not.
template <class Act>
EIGEN_ALWAYS_INLINE void with_curved(Activation activation, Act&& act) {
    if (activation == Activation::tanh) return act([] { return Activation::tanh; });
    return act([] { return Activation::softplus; });
}

template <class Act>
EIGEN_ALWAYS_INLINE void with_any(Activation activation, Act&& act) {
    if (is_piecewise_linear(activation)) return with_piecewise_linear(activation, act);
    with_curved(activation, act);
}

// h = phi(a) in place of a, for `rows` rows of `count` numbers that lie `row` numbers apart, of a curved activation.
template <AnyLanes V>
void activate_all(Activation activation, typename V::Scalar* values, std::int64_t rows, std::int64_t count, std::int64_t row) {
    with_curved(activation, [=](auto phi) {
        for (auto* first = values; first != values + rows * row * V::count; first += row * V::count)
            for (auto* at = first; at != first + count * V::count; at += V::count) activate(phi(), V::load(at), V(0)).store(at);
    });
}

// phi'(a) in place of h, likewise.
template <AnyLanes V>
void differentiate_all(Activation activation, typename V::Scalar* values, std::int64_t rows, std::int64_t count, std::int64_t row) {
    with_curved(activation, [=](auto phi) {
        for (auto* first = values; first != values + rows * row * V::count; first += row * V::count)
            for (auto* at = first; at != first + count * V::count; at += V::count) times_derivative(phi(), V::load(at), V(1), V(0)).store(at);
    });
}

// The value h above which a unit counts as active: its pre-activation is positive.
inline double active_above(Activation activation) { return activation == Activation::softplus ? ln2<double> : 0.0; }

}  // namespace shoal
