// One number for each of L networks: the SIMD value on which all training arithmetic runs.
//
// Lanes<T> wraps the widest packet that Eigen has for T on the instruction set of this translation unit (L = 2, 4 or 8 doubles, twice as many floats).
// Every operation acts on each lane by itself, and `fma` is a true fused multiply-add wherever the machine has one: a network's bits do not depend on L,
// on the lane that it sits in, or on its neighbours.
#pragma once

#include <Eigen/Core>

#include <cstdint>
#include <type_traits>

// Before a loop of constant length that is to be written out in full, so that registers may be indexed by its counter.
#if defined(__clang__)
#define SHOAL_UNROLL _Pragma("clang loop unroll(full)")
#else
#define SHOAL_UNROLL _Pragma("GCC unroll 64")
#endif

namespace shoal {

namespace packet = Eigen::internal;

template <class T>
struct Lanes {
    static_assert(std::is_floating_point_v<T>);
    using Scalar = T;
    using Packet = typename packet::packet_traits<T>::type;
    static constexpr int count = packet::unpacket_traits<Packet>::size;

    // The same bits read as integers, for the exponents of elementary.hpp (vector types of GCC and Clang).
    using Integer = std::conditional_t<sizeof(T) == 8, std::int64_t, std::int32_t>;
    typedef Integer Bits __attribute__((vector_size(sizeof(Packet))));

    Packet value;

    Lanes() = default;
    EIGEN_STRONG_INLINE Lanes(Packet packet) : value(packet) {}
    EIGEN_STRONG_INLINE Lanes(T number) : value(packet::pset1<Packet>(number)) {}

    static EIGEN_STRONG_INLINE Lanes load(const T* from) { return packet::pload<Packet>(from); }
    EIGEN_STRONG_INLINE void store(T* to) const { packet::pstore(to, value); }

    EIGEN_STRONG_INLINE Bits bits() const { return (Bits)value; }
    static EIGEN_STRONG_INLINE Lanes from_bits(Bits bits) { return (Packet)bits; }

    friend EIGEN_STRONG_INLINE Lanes operator+(Lanes a, Lanes b) { return packet::padd(a.value, b.value); }
    friend EIGEN_STRONG_INLINE Lanes operator-(Lanes a, Lanes b) { return packet::psub(a.value, b.value); }
    friend EIGEN_STRONG_INLINE Lanes operator*(Lanes a, Lanes b) { return packet::pmul(a.value, b.value); }
    friend EIGEN_STRONG_INLINE Lanes operator/(Lanes a, Lanes b) { return packet::pdiv(a.value, b.value); }
    friend EIGEN_STRONG_INLINE Lanes operator-(Lanes a) { return packet::pnegate(a.value); }
};

// a b + c, rounded once.
template <class T>
EIGEN_STRONG_INLINE Lanes<T> fma(Lanes<T> a, Lanes<T> b, Lanes<T> c) {
    return packet::pmadd(a.value, b.value, c.value);
}

template <class T>
EIGEN_STRONG_INLINE Lanes<T> abs(Lanes<T> a) {
    return packet::pabs(a.value);
}

// a < b ? x : y in each lane; false where a or b is NaN.
template <class T>
EIGEN_STRONG_INLINE Lanes<T> where_less(Lanes<T> a, Lanes<T> b, Lanes<T> x, Lanes<T> y) {
    using Packet = typename Lanes<T>::Packet;
#if defined(__AVX512F__)
    if constexpr (std::is_same_v<T, double>)
        return Packet(_mm512_mask_blend_pd(_mm512_cmp_pd_mask(a.value, b.value, _CMP_LT_OQ), y.value, x.value));
    else
        return Packet(_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.value, b.value, _CMP_LT_OQ), y.value, x.value));
#else
    return Packet(packet::pselect(packet::pcmp_lt(a.value, b.value), x.value, y.value));
#endif
}

// a > 0 ? x : 0 in each lane.
template <class T>
EIGEN_STRONG_INLINE Lanes<T> keep_where_positive(Lanes<T> a, Lanes<T> x) {
    using Packet = typename Lanes<T>::Packet;
#if defined(__AVX512F__)
    if constexpr (std::is_same_v<T, double>)
        return Packet(_mm512_maskz_mov_pd(_mm512_cmp_pd_mask(a.value, _mm512_setzero_pd(), _CMP_GT_OQ), x.value));
    else
        return Packet(_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a.value, _mm512_setzero_ps(), _CMP_GT_OQ), x.value));
#else
    return Packet(packet::pand(packet::pcmp_lt(packet::pzero(a.value), a.value), x.value));
#endif
}

// max(a, 0). A NaN stays one on x86; a network that holds one is marked diverged all the same.
template <class T>
EIGEN_STRONG_INLINE Lanes<T> relu(Lanes<T> a) {
    return packet::pmax(a.value, packet::pzero(a.value));
}

template <class T>
EIGEN_STRONG_INLINE Lanes<T> max(Lanes<T> a, Lanes<T> b) {
    return where_less(a, b, b, a);
}

// Whether some lane holds a NaN.
template <class T>
EIGEN_STRONG_INLINE bool any_nan(Lanes<T> a) {
    const typename Lanes<T>::Packet unequal = packet::pcmp_eq(a.value, a.value);
    alignas(64) typename Lanes<T>::Integer lanes[Lanes<T>::count];
    packet::pstoreu(reinterpret_cast<T*>(lanes), unequal);
    typename Lanes<T>::Integer all = -1;
    for (int lane = 0; lane < Lanes<T>::count; ++lane) all &= lanes[lane];
    return all != -1;
}

}  // namespace shoal
