// One number per network, for L networks: the SIMD value on which all training arithmetic runs. For a network that trains alone (alone.hpp), one number per
// sample, or input, of L.
//
// Lanes<T, R> holds R of the widest packets that Eigen has for T on the instruction set of this translation unit (2, 4 or 8 doubles each, twice as many
// floats). Every operation acts on each lane separately, and `fma` is a true fused multiply-add if the machine has one: the bits of a network do not depend on
// L, its lane or its neighbours. One register (R = 1) leaves most room for tiles; several hide the latencies of networks too small to tile.
#pragma once

#include <Eigen/Core>

#include <concepts>
#include <cstdint>
#include <cstring>
#include <type_traits>

// SHOAL_UNROLL unrolls a loop of constant length fully, so that its counter may index registers. SHOAL_UNROLL_TWICE unrolls two rounds, which halves the loop
// overhead.
#if defined(__clang__)
#define SHOAL_UNROLL _Pragma("clang loop unroll(full)")
#define SHOAL_UNROLL_TWICE _Pragma("clang loop unroll_count(2)")
#else
#define SHOAL_UNROLL _Pragma("GCC unroll 64")
#define SHOAL_UNROLL_TWICE _Pragma("GCC unroll 2")
#endif

#if EIGEN_FAST_MATH
#error "EIGEN_FAST_MATH must be 0: Eigen's approximate square roots (on AVX-512) would give other bits there than the exact ones elsewhere"
#endif

namespace shoal {

namespace packet = Eigen::internal;

// A function body that returns the value whose register r is the expression.
#define SHOAL_EACH(V, r, expression)                                                               \
    {                                                                                              \
        V each_register;                                                                           \
        SHOAL_UNROLL for (int r = 0; r < V::registers; ++r) each_register.value[r] = (expression); \
        return each_register;                                                                      \
    }

template <std::floating_point T, int R = 1>
struct Lanes {
    using Scalar = T;
    using Packet = typename packet::packet_traits<T>::type;
    static constexpr int registers = R;
    static constexpr int width = packet::unpacket_traits<Packet>::size;
    static constexpr int count = R * width;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-attributes"  // those of a vector type, which its alignment does not need
    using Square = packet::PacketBlock<Packet, width>;  // registers, as many as each holds numbers: rows for `ptranspose`
#pragma GCC diagnostic pop

    Packet value[R];

    Lanes() = default;
    EIGEN_ALWAYS_INLINE Lanes(T number) { SHOAL_UNROLL for (int r = 0; r < R; ++r) value[r] = packet::pset1<Packet>(number); }

    static EIGEN_ALWAYS_INLINE Lanes load(const T* from) SHOAL_EACH(Lanes, r, packet::pload<Packet>(from + r * width));
    // One number per group of `registers_each` registers.
    template <int registers_each>
    static EIGEN_ALWAYS_INLINE Lanes spread(const T* numbers) SHOAL_EACH(Lanes, r, packet::pset1<Packet>(numbers[r / registers_each]));
    EIGEN_ALWAYS_INLINE void store(T* to) const { SHOAL_UNROLL for (int r = 0; r < R; ++r) packet::pstore(to + r * width, value[r]); }

    friend EIGEN_ALWAYS_INLINE Lanes operator+(Lanes a, Lanes b) SHOAL_EACH(Lanes, r, packet::padd(a.value[r], b.value[r]));
    friend EIGEN_ALWAYS_INLINE Lanes operator-(Lanes a, Lanes b) SHOAL_EACH(Lanes, r, packet::psub(a.value[r], b.value[r]));
    friend EIGEN_ALWAYS_INLINE Lanes operator*(Lanes a, Lanes b) SHOAL_EACH(Lanes, r, packet::pmul(a.value[r], b.value[r]));
    friend EIGEN_ALWAYS_INLINE Lanes operator/(Lanes a, Lanes b) SHOAL_EACH(Lanes, r, packet::pdiv(a.value[r], b.value[r]));
    friend EIGEN_ALWAYS_INLINE Lanes operator-(Lanes a) SHOAL_EACH(Lanes, r, packet::pnegate(a.value[r]));
};

template <class V>
concept AnyLanes = requires {
    typename V::Packet;
    V::registers;
};

// a b + c, rounded once.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V fma(V a, V b, V c) SHOAL_EACH(V, r, packet::pmadd(a.value[r], b.value[r], c.value[r]));

template <AnyLanes V>
EIGEN_ALWAYS_INLINE V abs(V a) SHOAL_EACH(V, r, packet::pabs(a.value[r]));

template <AnyLanes V>
EIGEN_ALWAYS_INLINE V sqrt(V a) SHOAL_EACH(V, r, packet::psqrt(a.value[r]));

// max(a, 0). A NaN stays NaN on x86; nothing relies on that, because a network that holds one is marked diverged.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V relu(V a) SHOAL_EACH(V, r, packet::pmax(a.value[r], packet::pzero(a.value[r])));

// The larger of a and b; b must not be NaN.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V larger(V a, V b) SHOAL_EACH(V, r, packet::pmax(a.value[r], b.value[r]));

// Keeps a number that is used several times in a register; the compiler would read it from memory each time.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE void stay_in_register(V& a) {
#if defined(__AVX512F__)
    SHOAL_UNROLL for (int r = 0; r < V::registers; ++r) asm("" : "+v"(a.value[r]));
#elif defined(__SSE2__)
    SHOAL_UNROLL for (int r = 0; r < V::registers; ++r) asm("" : "+x"(a.value[r]));
#elif defined(__ARM_NEON)
    SHOAL_UNROLL for (int r = 0; r < V::registers; ++r) asm("" : "+w"(a.value[r]));
#else
    (void)a;
#endif
}

// 0, made where it is used: the compiler would keep a register for it through a loop that needs all of them.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V zero_made_here() {
    auto zero = packet::pset1<typename V::Packet>(typename V::Scalar(0));
#if defined(__AVX512F__)
    asm volatile("" : "+v"(zero));
#elif defined(__SSE2__)
    asm volatile("" : "+x"(zero));
#elif defined(__ARM_NEON)
    asm volatile("" : "+w"(zero));
#endif
    V numbers;
    SHOAL_UNROLL for (int r = 0; r < V::registers; ++r) numbers.value[r] = zero;
    return numbers;
}

// Keeps an address in a register; the compiler would compute it anew from others at each use.
template <class T>
EIGEN_ALWAYS_INLINE void stay_in_register(T*& address) {
    asm("" : "+r"(address));
}

namespace packet_choice {

// a < b ? x : y, and a > 0 ? x : 0, in one register. AVX-512 compares into mask registers; Eigen's generic form would expand the masks to vectors.
#if defined(__AVX512F__)
EIGEN_ALWAYS_INLINE __m512d less(__m512d a, __m512d b, __m512d x, __m512d y) { return _mm512_mask_blend_pd(_mm512_cmp_pd_mask(a, b, _CMP_LT_OQ), y, x); }
EIGEN_ALWAYS_INLINE __m512 less(__m512 a, __m512 b, __m512 x, __m512 y) { return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x); }
EIGEN_ALWAYS_INLINE __m512d keep(__m512d a, __m512d x) { return _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(a, _mm512_setzero_pd(), _CMP_GT_OQ), x); }
EIGEN_ALWAYS_INLINE __m512 keep(__m512 a, __m512 x) { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, _mm512_setzero_ps(), _CMP_GT_OQ), x); }
#else
template <class Packet>
EIGEN_ALWAYS_INLINE Packet less(Packet a, Packet b, Packet x, Packet y) {
    return packet::pselect(packet::pcmp_lt(a, b), x, y);
}
template <class Packet>
EIGEN_ALWAYS_INLINE Packet keep(Packet a, Packet x) {
    return packet::pand(packet::pcmp_lt(packet::pzero(a), a), x);
}
#endif

// Whether any bit of a register is set.
#if defined(__AVX512F__)
EIGEN_ALWAYS_INLINE bool some_bit(__m512i bits) { return _mm512_test_epi64_mask(bits, bits) != 0; }
EIGEN_ALWAYS_INLINE bool some_bit(__m512d a) { return some_bit(_mm512_castpd_si512(a)); }
EIGEN_ALWAYS_INLINE bool some_bit(__m512 a) { return some_bit(_mm512_castps_si512(a)); }
#elif defined(__AVX__)
EIGEN_ALWAYS_INLINE bool some_bit(__m256i bits) { return !_mm256_testz_si256(bits, bits); }
EIGEN_ALWAYS_INLINE bool some_bit(__m256d a) { return some_bit(_mm256_castpd_si256(a)); }
EIGEN_ALWAYS_INLINE bool some_bit(__m256 a) { return some_bit(_mm256_castps_si256(a)); }
#else
template <class Packet>
EIGEN_ALWAYS_INLINE bool some_bit(Packet a) {
    std::uint64_t words[sizeof(Packet) / 8], all = 0;
    std::memcpy(words, &a, sizeof a);
    for (const std::uint64_t word : words) all |= word;
    return all != 0;
}
#endif

// A gate in memory: on AVX-512 a mask register, one bit per lane, in the first bytes of a number; elsewhere a number per lane, all bits set or none.
#if defined(__AVX512F__)
template <class T>
constexpr int gate_numbers = 1;
EIGEN_ALWAYS_INLINE __mmask8 mask_less(__m512d a, __m512d b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
EIGEN_ALWAYS_INLINE __mmask16 mask_less(__m512 a, __m512 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
EIGEN_ALWAYS_INLINE __m512d through_mask(__mmask8 mask, __m512d x) { return _mm512_maskz_mov_pd(mask, x); }
EIGEN_ALWAYS_INLINE __m512 through_mask(__mmask16 mask, __m512 x) { return _mm512_maskz_mov_ps(mask, x); }
EIGEN_ALWAYS_INLINE __m512d fma_where(__mmask8 mask, __m512d a, __m512d b, __m512d c) { return _mm512_mask3_fmadd_pd(a, b, c, mask); }
EIGEN_ALWAYS_INLINE __m512 fma_where(__mmask16 mask, __m512 a, __m512 b, __m512 c) { return _mm512_mask3_fmadd_ps(a, b, c, mask); }
template <class T>
using GateMask = decltype(mask_less(typename Lanes<T>::Packet(), typename Lanes<T>::Packet()));
template <class T, class Packet>
EIGEN_ALWAYS_INLINE void store_gate(T* to, Packet a, Packet b) {
    const auto mask = mask_less(a, b);
    std::memcpy(to, &mask, sizeof mask);
}
template <class T, class Packet>
EIGEN_ALWAYS_INLINE Packet through(const T* gate, Packet x) {
    decltype(mask_less(x, x)) mask;
    std::memcpy(&mask, gate, sizeof mask);
    return through_mask(mask, x);
}
#else
template <class T>
constexpr int gate_numbers = Lanes<T>::width;
template <class T, class Packet>
EIGEN_ALWAYS_INLINE void store_gate(T* to, Packet a, Packet b) {
    packet::pstore(to, packet::pcmp_lt(a, b));
}
template <class T, class Packet>
EIGEN_ALWAYS_INLINE Packet through(const T* gate, Packet x) {
    return packet::pand(packet::pload<Packet>(gate), x);
}
#endif

}  // namespace packet_choice

// a < b ? x : y per lane; y if a or b is NaN.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V where_less(V a, V b, V x, V y) SHOAL_EACH(V, r, packet_choice::less(a.value[r], b.value[r], x.value[r], y.value[r]));

// a > 0 ? x : 0 per lane.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V keep_where_positive(V a, V x) SHOAL_EACH(V, r, packet_choice::keep(a.value[r], x.value[r]));

// One gate per lane: all bits set if a < b, else none.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V gate_where_less(V a, V b) SHOAL_EACH(V, r, packet::pcmp_lt(a.value[r], b.value[r]));

// x if the gate is open, else 0: one instruction; `keep_where_positive` takes two.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V through(V gate, V x) SHOAL_EACH(V, r, packet::pand(gate.value[r], x.value[r]));

// Numbers that the gates of one unit take in memory, for all lanes of V.
template <AnyLanes V>
constexpr int gate_size = packet_choice::gate_numbers<typename V::Scalar> * V::registers;

// Stores the gates 1[a < b], `gate_size` numbers.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE void store_gates(typename V::Scalar* to, V a, V b) {
    SHOAL_UNROLL for (int r = 0; r < V::registers; ++r) packet_choice::store_gate(to + r * gate_size<V> / V::registers, a.value[r], b.value[r]);
}

// The same as `through`, with gates that were stored.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V through_stored(const typename V::Scalar* gates, V x)
    SHOAL_EACH(V, r, packet_choice::through(gates + r * gate_size<V> / V::registers, x.value[r]));

// A factor of multiply-adds, where its stored gate is open; elsewhere 0. On AVX-512 the multiply-adds themselves are masked: a closed gate leaves a sum as it
// is. That has the same bits but for a sum of -0, which only a product that underflows can make of one that begins with 0.
#if defined(__AVX512F__)
template <AnyLanes V>
struct Gated {
    V factor;
    packet_choice::GateMask<typename V::Scalar> gates[V::registers];
};
template <AnyLanes V>
EIGEN_ALWAYS_INLINE Gated<V> gated_factor(const typename V::Scalar* gates, V factor) {
    Gated<V> gated{factor, {}};
    SHOAL_UNROLL for (int r = 0; r < V::registers; ++r) std::memcpy(&gated.gates[r], gates + r * gate_size<V> / V::registers, sizeof gated.gates[r]);
    return gated;
}
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V fma(const Gated<V>& a, V b, V c) SHOAL_EACH(V, r, packet_choice::fma_where(a.gates[r], a.factor.value[r], b.value[r], c.value[r]));
#else
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V gated_factor(const typename V::Scalar* gates, V factor) {
    return through_stored(gates, factor);
}
#endif

template <AnyLanes V>
EIGEN_ALWAYS_INLINE V max(V a, V b) {
    return where_less(a, b, b, a);
}

// The larger of two numbers; a if either is NaN.
template <std::floating_point T>
EIGEN_ALWAYS_INLINE T max(T a, T b) {
    return a < b ? b : a;
}

// The smaller of a and b; a NaN in a stays NaN.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V min(V a, V b) SHOAL_EACH(V, r, packet::pmin(a.value[r], b.value[r]));

// a with the sign of x, for a >= 0.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V with_sign_of(V x, V a)
    SHOAL_EACH(V, r, packet::por(a.value[r], packet::pand(x.value[r], packet::pset1<typename V::Packet>(typename V::Scalar(-0.0)))));

// Zero as long as every a was finite, by 0 a + seen; once some a was not, NaN. `Several` holds one or more numbers for each of V.
template <AnyLanes V, AnyLanes Several>
EIGEN_ALWAYS_INLINE V gather_not_finite(V seen, Several a) {
    SHOAL_UNROLL for (int r = 0; r < Several::registers; ++r) {
        auto& gathered = seen.value[r % V::registers];
        gathered = packet::pmadd(a.value[r], packet::pzero(a.value[r]), gathered);
    }
    return seen;
}

// All bits are zero as long as every a had the bits of its b; once some bit differed, the value stays nonzero.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE V gather_difference(V seen, V a, V b) SHOAL_EACH(V, r, packet::por(seen.value[r], packet::pxor(a.value[r], b.value[r])));

// Whether `gather_not_finite` or `gather_difference` gathered anything.
template <AnyLanes V>
EIGEN_ALWAYS_INLINE bool gathered(V seen) {
    auto all = seen.value[0];
    SHOAL_UNROLL for (int r = 1; r < V::registers; ++r) all = packet::por(all, seen.value[r]);
    return packet_choice::some_bit(all);
}

}  // namespace shoal
