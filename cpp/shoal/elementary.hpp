// exp, log, log1p, expm1, tanh, erf and its slope, and sine and cosine of a turn, on lanes of double or float. Every machine with FMA gives the same bits.
//
//   exp   x = n ln2 + r, |r| <= ln2/2:   e^x = 2^n (1 + r + r^2 q(r))
//   log   x = 2^k f, sqrt(1/2) <= f < sqrt(2), s = (f-1)/(f+1):   ln x = k ln2 + 2 atanh(s)
//   tanh  tanh(x/2) = k/Q,  Q = 1 + y q(y),  k = x/2 (Q + y r(y)),  y = x^2:
//         tanh x = x - x (k^2 - Q y r)/(Q^2 + k^2) = 1 - (Q - k)^2/(Q^2 + k^2)
//   erf   |x| <= 0.9:   erf x = x + x q(x^2);   beyond:   erf |x| = 1 - e^-p(|x|)
//
// The coefficients are minimax fits made by cpp/tests/coefficients.py. The largest error of each function, in units in the last place (ulp), holds over the
// range that its comment states, in double and in single precision. cpp/tests/elementary_test.cpp measures these errors and asserts the bounds:
//   exp, exp_minus_abs 1.1   log, log1p 1.3   sine, cosine of a turn 1.6 (double only)   expm1 2.2   tanh 1.9 (without FMA 2.1)
//   erf 1.2 (without FMA 1.3)   erf_slope 1.6 (without FMA 1.9)
#pragma once

#include "shoal/lanes.hpp"

namespace shoal {

// The constants of one floating-point type: layout, range reduction, and polynomials with the highest power first.
template <class T>
struct Constants;

template <>
struct Constants<double> {
    static constexpr int mantissa = 52;
    static constexpr std::int64_t mantissa_mask = 0x000fffffffffffff;
    static constexpr std::int64_t sqrt_half = 0x3fe6a09e667f3bcd;
    static constexpr double to_integer = 0x1.8p52;  // adding it rounds to an integer, which the low bits then hold
    static constexpr double to_power = to_integer + 1023;  // the same, with the bias of an exponent
    static constexpr double log2e = 0x1.71547652b82fep0, ln2_high = 0x1.62e42fefa3800p-1, ln2_low = 0x1.ef35793c76730p-45;
    static constexpr double exp_lowest = -760.0, exp_lowest_normal = -708.0, exp_highest = 720.0, tanh_highest = 20.0;
    static constexpr double exp_tail[] = {0x1.af769764c3a52p-26, 0x1.28a2ab3af7f68p-22, 0x1.71ddea11bf0fbp-19, 0x1.a019a6861b7c2p-16, 0x1.a01a01b5d3078p-13,
                                          0x1.6c16c17f375c1p-10, 0x1.111111110e6e2p-7,  0x1.55555555520f4p-5,  0x1.555555555555cp-3,  0x1.0000000000005p-1};
    static constexpr double atanh_tail[] = {0x1.0f6313f724e2cp-4, 0x1.0f5cc8ca2db82p-4, 0x1.3b20ab923b967p-4, 0x1.745cde358e64ep-4,
                                            0x1.c71c7258fde87p-4, 0x1.249249242b410p-3, 0x1.9999999999dffp-3, 0x1.5555555555555p-2};
    static constexpr double tanh_ratio[] = {0x1.2b019538e4e09p-49, 0x1.bd2c0fa02ac01p-37, 0x1.44a988ca0457dp-26,
                                            0x1.4fded67b4f57cp-17, 0x1.025464daa220cp-9,  0x1.eac460c81f747p-4};
    static constexpr double tanh_rest[] = {-0x1.280eb5bbb463ep-49, -0x1.aee867da9196fp-37, -0x1.314e35e90c0e5p-26,
                                           -0x1.2ee8182e280e6p-17, -0x1.b0e4264d7495cp-10, -0x1.5555555555554p-4};
    static constexpr double erf_edge = 0.9, erf_highest = 6.0;
    static constexpr double erf_ratio[] = {-0x1.d2470a9e62b62p-31, 0x1.e29d2a4b062e8p-27, -0x1.5d833da2fe52bp-23, 0x1.b9b759f9a84d3p-20,
                                           -0x1.f4cf58dbdb822p-17, 0x1.f9a306232586ap-14, -0x1.c02db313e3c70p-11, 0x1.565bcd0a30e77p-8,
                                           -0x1.b82ce31271d80p-6,  0x1.ce2f21a0427e0p-4,  -0x1.812746b0379e2p-2,  0x1.06eba8214db69p-3};
    static constexpr double erf_tail[] = {-0x1.7c83f617fa603p-40, 0x1.0a0eb2023166cp-34,  -0x1.5c702bf7d2f23p-30, 0x1.1bb3cdf6fe390p-26,
                                          -0x1.4136689e01bd3p-23, 0x1.0b4ecdd8e33a1p-20,  -0x1.4f97350f60b22p-18, 0x1.3dee134a0c5f5p-16,
                                          -0x1.b435f3507e1efp-15, 0x1.699b61500a054p-14,  0x1.0cfe8545c6714p-16,  -0x1.3a525a76cca3fp-11,
                                          0x1.c33e8df129adap-10,  -0x1.f319d37ceb7d3p-13, -0x1.390ce630b649fp-6,  0x1.a4e9801265cfcp-4,
                                          0x1.45f3825958107p-1,   0x1.20dd685b2c126p+0,   0x1.3136d0b3ecbc4p-24};
    static constexpr double two_over_root_pi = 0x1.20dd750429b6dp+0, two_over_root_pi_lost = 0x1.f568818f505f6p-57, erf_slope_highest = 26.6;
    static constexpr double to_half = 0x1.8p31;  // adding it rounds to a multiple of 2^-21: the square of such a number below 32 is exact
    static constexpr double sin_ratio[] = {0x1.e3ee524c95262p-25, -0x1.e3006234b57a7p-19, 0x1.50782fc8c2c8fp-13, -0x1.32d2cce2d3d67p-8,
                                           0x1.466bc677586edp-4,  -0x1.4abbce625be41p-1,  0x1.921fb54442d18p+0};
    static constexpr double cos_tail[] = {-0x1.b26f741b79361p-28, 0x1.f9cc695a995c2p-22, -0x1.a6d1ecb56e6f4p-16, 0x1.e1f50683b1f4ep-11,
                                          -0x1.55d3c7e3c95a6p-6,  0x1.03c1f081b5ab0p-2,  -0x1.3bd3cc9be45dep+0};
};

template <>
struct Constants<float> {
    static constexpr int mantissa = 23;
    static constexpr std::int32_t mantissa_mask = 0x007fffff;
    static constexpr std::int32_t sqrt_half = 0x3f3504f3;
    static constexpr float to_integer = 0x1.8p23f, to_power = to_integer + 127;
    static constexpr float log2e = 0x1.715476p0f, ln2_high = 0x1.62e400p-1f, ln2_low = 0x1.7f7d1cp-20f;
    static constexpr float exp_lowest = -106.0f, exp_lowest_normal = -87.0f, exp_highest = 92.0f, tanh_highest = 10.0f;
    static constexpr float exp_tail[] = {0x1.6d990ad01db05p-10f, 0x1.1227fe30115f3p-7f, 0x1.555486d4cf27cp-5f, 0x1.5554af5725347p-3f, 0x1.0000003533d0fp-1f};
    static constexpr float atanh_tail[] = {0x1.e2f72229f6abfp-4f, 0x1.2438d2dcd027ep-3f, 0x1.999a7a9ca2387p-3f, 0x1.555554fd9385bp-2f};
    static constexpr float tanh_ratio[] = {0x1.80bac358b2638p-19f, 0x1.726159e6dd8d2p-10f, 0x1.d6fc092299291p-4f};
    static constexpr float tanh_rest[] = {-0x1.7445e1ab354d0p-19f, -0x1.47626eb805532p-10f, -0x1.555554f8a829ap-4f};
    static constexpr float erf_edge = 0.9f, erf_highest = 4.0f;
    static constexpr float erf_ratio[] = {0x1.650d9cc4bd74ap-14f, -0x1.aca2b068f0752p-11f, 0x1.550a2d37b10f3p-8f, -0x1.b815211520d1fp-6f,
                                          0x1.ce2e53ce0c394p-4f,  -0x1.8127440dceb0ap-2f,  0x1.06eba815eaf3cp-3f};
    static constexpr float erf_tail[] = {0x1.5ecd7cd0e75b3p-16f, -0x1.c54d341674094p-12f, 0x1.10a9fd2678032p-8f, -0x1.9b19524c520cdp-6f,
                                         0x1.bb564e362a447p-4f,  0x1.444b41978f0ffp-1f,   0x1.21269827b1dcap+0f, -0x1.65abce4c466bdp-13f};
    static constexpr float two_over_root_pi = 0x1.20dd76p+0f, two_over_root_pi_lost = -0x1.be5e9a0000000p-25f, erf_slope_highest = 9.3f;
    static constexpr float to_half = 0x1.8p15f;  // adding it rounds to a multiple of 2^-8: the square of such a number below 16 is exact
};

// The bits of one register as unsigned integers, for arithmetic on exponents (a vector extension of GCC and Clang).
template <AnyLanes V>
struct Bits {
    using Unsigned = std::conditional_t<sizeof(typename V::Scalar) == 8, std::uint64_t, std::uint32_t>;
    typedef Unsigned Word __attribute__((vector_size(sizeof(typename V::Packet))));
};

// sum_i coefficients[i] x^(N - 1 - i) by Horner's rule. The bounds of the functions below, which use it near 0, include its rounding.
template <AnyLanes V, int N>
EIGEN_ALWAYS_INLINE V horner(const typename V::Scalar (&coefficients)[N], V x) {
    V sum = coefficients[0];
    SHOAL_UNROLL for (int i = 1; i < N; ++i) sum = fma(sum, x, V(coefficients[i]));
    return sum;
}

// x rounded to the nearest integer, ties to even. Exact for |x| <= 2^51 (2^22 in single precision).
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V round(V x) {
    const V magic = Constants<typename V::Scalar>::to_integer;
    return (x + magic) - magic;
}

// 2^n, exact, of n + to_power for integer n from -1022 to 1023 (-126 to 127 in single precision).
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V shifted_power_of_two(V shifted) {
    using Word = typename Bits<V>::Word;  // unsigned, because the shift of a NaN may overflow
    SHOAL_EACH(V, r, (typename V::Packet)((Word)shifted.value[r] << Constants<typename V::Scalar>::mantissa));
}

template <AnyLanes V>
EIGEN_ALWAYS_INLINE V power_of_two(V n) {
    return shifted_power_of_two(n + V(Constants<typename V::Scalar>::to_power));
}

// Splits x = n ln2 + r with |r| <= ln2/2; returns n + to_power, and expm1(r) in `tail`. For x from exp_lowest to exp_highest, or NaN; its error is part of
// those of exp, exp_minus_abs and expm1.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V reduce_exp(V x, V& tail) {
    using C = Constants<typename V::Scalar>;
    const V magic = C::to_power, shifted = fma(x, V(C::log2e), magic), n = shifted - magic;
    V r = fma(n, V(-C::ln2_high), x);
    r = fma(n, V(-C::ln2_low), r);
    tail = fma(r * r, horner(C::exp_tail, r), r);
    return shifted;
}

// e^x for every x, to 1.1 ulp. Results may be subnormal, 0 or infinite; NaN stays NaN. The scale is applied in two halves so that it does not overflow before
// the result does.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V exp(V x) {
    using C = Constants<typename V::Scalar>;
    const V lowest = C::exp_lowest, highest = C::exp_highest;
    x = where_less(x, lowest, lowest, x);
    x = where_less(highest, x, highest, x);
    V tail;
    const V n = reduce_exp(x, tail) - V(C::to_power);
    const V half = round(n * V(0.5));
    return (tail + V(1)) * power_of_two(half) * power_of_two(n - half);
}

// e^-|x|, in (0, 1], to 1.1 ulp for |x| <= 708 (87 in single precision). Beyond, it stays at e^-708 (e^-87), close to the smallest normal number; NaN stays
// NaN.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V exp_minus_abs(V x) {
    using C = Constants<typename V::Scalar>;
    V tail;
    const V scale = shifted_power_of_two(reduce_exp(-min(abs(x), V(-C::exp_lowest_normal)), tail));
    return fma(scale, tail, scale);
}

// e^x - 1 for x <= 709 (88 in single precision), to 2.2 ulp; NaN stays NaN.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V expm1(V x) {
    const V lowest = -40;  // e^-40 is less than half an ulp of -1
    x = where_less(x, lowest, lowest, x);
    V tail;
    const V scale = shifted_power_of_two(reduce_exp(x, tail));
    return fma(scale, tail, scale - V(1));
}

// Splits x = 2^k f with sqrt(1/2) <= f < sqrt(2), exactly, for normal x > 0; returns k.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V split_octave(V x, V& f) {
    using C = Constants<typename V::Scalar>;
    using Word = typename Bits<V>::Word;
    using Unsigned = typename Bits<V>::Unsigned;
    // The octave is shifted into the low bits of to_integer, which is then subtracted. The integers are unsigned, so that overflow is defined.
    constexpr Unsigned bias = Unsigned(1) << (sizeof(typename V::Scalar) == 8 ? 10 : 7), mask = C::mantissa_mask, sqrt_half = C::sqrt_half;
    const V magic = C::to_integer;
    V k;
    SHOAL_UNROLL for (int r = 0; r < V::registers; ++r) {
        const Word from_half = (Word)x.value[r] - sqrt_half;  // counts octaves from sqrt(1/2)
        f.value[r] = (typename V::Packet)((from_half & mask) + sqrt_half);
        k.value[r] = (typename V::Packet)(((from_half + (bias << C::mantissa)) >> C::mantissa) + (Word)magic.value[r]);
    }
    return k - V(C::to_integer + bias);
}

// ln x + correction for normal x > 0 and a correction far below 1. Its error is that of log and of log1p.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V corrected_log(V x, V correction) {
    using C = Constants<typename V::Scalar>;
    V f;
    const V k = split_octave(x, f);
    const V above = f - V(1), below = V(1) - f;
    const V s = above / (f + V(1));
    const V q = s * s;
    // 2 atanh(s) = above - s (above - 2 s^2 (...)): f - 1 is exact, and every rounded term is small beside it.
    const V rest = fma(s, fma(q + q, horner(C::atanh_tail, q), below), correction);
    return fma(k, V(C::ln2_high), fma(k, V(C::ln2_low), above + rest));
}

// ln x for normal x > 0, to 1.3 ulp.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V log(V x) {
    return corrected_log(x, V(0));
}

// ln(1 + x) for finite x >= 0, to 1.3 ulp; NaN stays NaN. The rounding error of 1 + x is put back to first order.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V log1p(V x) {
    const V one = 1;
    const V sum = one + x;
    const V lost = x - (sum - one);
    return corrected_log(sum, lost / sum);
}

// tanh x for every x, to 1.9 ulp (without FMA 2.1); NaN stays NaN. With tanh(x/2) = k/Q the two forms of tanh x below are equal. Each is used where the smaller number is taken
// off, so that the errors of the products weigh little: below 1 from x, beyond from 1.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V tanh(V x) {
    using C = Constants<typename V::Scalar>;
    const V one = 1, a = min(abs(x), V(C::tanh_highest)), y = a * a;
    const V q = fma(horner(C::tanh_ratio, y), y, one), rest = y * horner(C::tanh_rest, y);
    const V k = V(0.5) * a * (q + rest), square = k * k, gap = q - k;
    const V below = min(a * fma(-q, rest, square), gap * gap);
    return with_sign_of(x, min(a, one) - below / fma(q, q, square));
}

// erf x for every x, to 1.2 ulp (without FMA 1.3); NaN stays NaN. Beyond 0.9, where erf is above 0.79, what is subtracted from 1 has few of its digits.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V erf(V x) {
    using C = Constants<typename V::Scalar>;
    const V one = 1, magnitude = min(abs(x), V(C::erf_highest));
    const V near = fma(magnitude, horner(C::erf_ratio, magnitude * magnitude), magnitude);
    V tail;
    const V scale = shifted_power_of_two(reduce_exp(-horner(C::erf_tail, magnitude), tail));
    const V far = fma(-scale, tail, one - scale);
    return with_sign_of(x, where_less(V(C::erf_edge), magnitude, far, near));
}

// 2/sqrt(pi) e^(-x^2), the slope of erf, to 1.6 ulp (without FMA 1.9) for |x| <= 26.6 (9.3 in single precision). Beyond, it stays at its value there, close to
// the smallest normal number; NaN stays NaN. x is split in two numbers, so that the square of the first is exact: a rounded square would be off by x^2 ulp in
// the exponent.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V erf_slope(V x) {
    using C = Constants<typename V::Scalar>;
    const V magic = C::to_integer, magnitude = min(abs(x), V(C::erf_slope_highest));
    const V high = (magnitude + V(C::to_half)) - V(C::to_half);
    const V rest = (magnitude - high) * (magnitude + high);
    const V n = fma(magnitude * magnitude, V(-C::log2e), magic) - magic;
    const V r = fma(n, V(-C::ln2_high), -(high * high)) + fma(n, V(-C::ln2_low), -rest);
    const V tail = fma(r * r, horner(C::exp_tail, r), r);
    const V scale = power_of_two(n) * V(C::two_over_root_pi);
    return fma(scale, tail + V(C::two_over_root_pi_lost), scale);
}

// sin and cos of 2 pi u for u in [0, 1), each to 1.6 ulp, in double precision.
EIGEN_ALWAYS_INLINE void sincos_turn(Lanes<double> u, Lanes<double>& sine, Lanes<double>& cosine) {
    using C = Constants<double>;
    using V = Lanes<double>;
    using Word = Bits<V>::Word;
    const V magic = C::to_integer;
    const V quarter_turns = V(4) * u;
    const V shifted = quarter_turns + magic;
    const V x = quarter_turns - (shifted - magic);
    const V q = x * x;
    const Word s = (Word)(x * horner(C::sin_ratio, q)).value[0], c = (Word)fma(q, horner(C::cos_tail, q), V(1)).value[0];
    const Word quadrant = (Word)shifted.value[0] & 3, odd = -(quadrant & 1);
    const Word sine_sign = (quadrant & 2) << 62, cosine_sign = ((quadrant + 1) & 2) << 62;
    sine.value[0] = (V::Packet)(((s & ~odd) | (c & odd)) ^ sine_sign);
    cosine.value[0] = (V::Packet)(((c & ~odd) | (s & odd)) ^ cosine_sign);
}

}  // namespace shoal
