// The loop in which training spends its time, for L networks at once:
//
//   C[i][j] = finish( begin[i][j] + sum_r A[i][r] B[j][r] ),    r ascending, one fused multiply-add per term
//
//   forward                  i sample, j unit,   r input    C = phi(b + h W^T)
//   weight_gradient          i unit,   j input,  r sample   C += delta^T h
//   gated_weight_gradient    the same with delta_so = gate_so delta_s; the gate is applied while A is read
//   input_gradient           i sample, j input,  r unit     C = phi'(h) (delta W)
//
// C is cut into tiles of I x J sums that stay in registers while r runs; A and B are read once per tile. An operand is either lanes (one number per network) or
// shared (one number for all, broadcast: the inputs). The order of each sum does not depend on the tiles: they change the speed, never the bits.
#pragma once

#include "shoal/activation.hpp"

#include <array>
#include <cstdint>
#include <utility>

namespace shoal {

enum class Pass { forward, weight_gradient, gated_weight_gradient, input_gradient };
enum class Begin { zero, column, stored };  // sums begin at 0, at one number per column (the biases), or at what C holds
// What becomes of each sum a. `gates` stores the gate 1[a > 0] as a mask and adds relu(a) to the output alone, f_i += relu(a_ij) z_j. For a piecewise linear
// phi, `activate` stores phi(a), and `times_derivative` stores the sum times phi'(a), given the stored h. Curved activations are applied after the product.
// Their derivatives are stored before it, for `times_stored`.
enum class Finish { store, activate, gates, times_derivative, times_stored };

// One pass over one layer for one block of samples. `below`, `above` and `inputs` are the distances between rows of the values below the layer, of those above
// it, and of its matrix.
template <class T>
struct Product {
    const T *a = nullptr, *b = nullptr;
    T* c = nullptr;
    std::int64_t below = 0, above = 0, inputs = 0;
    int terms = 0;
    Begin begin = Begin::zero;
    const T* column = nullptr;  // of Begin::column: one number per column j
    Finish finish = Finish::store;
    Activation activation = Linear();  // of Finish::activate and times_derivative
    T slope = 0;  // of that activation
    const T* delta = nullptr;  // of gated_weight_gradient: delta_s, one number per term
    const T* head = nullptr;  // of Finish::gates: z_j
    T* output = nullptr;  // of Finish::gates: f_i, which holds the bias before
};

namespace tiles {

#if defined(__AVX512F__) || defined(__ARM_NEON)
constexpr int machine_registers = 32;
#else
constexpr int machine_registers = 16;
#endif
constexpr int longest = 8;

constexpr bool is_weight_gradient(Pass pass) { return pass == Pass::weight_gradient || pass == Pass::gated_weight_gradient; }

// Whether a tile fits: I x J sums, the shorter side of the operands, and one number of the longer side must be in registers. delta_s takes one more if the
// gates are not on the side that stays in registers.
template <AnyLanes V>
constexpr bool fits(Pass pass, int i, int j) {
    const int numbers = i * j + (i < j ? i : j) + 1 + (pass == Pass::gated_weight_gradient && i > j ? 1 : 0);
    return (i == 1 && j == 1) || (i >= 1 && j >= 1 && i <= longest && j <= longest && numbers * V::registers <= machine_registers);
}

template <AnyLanes V, bool shared>
EIGEN_ALWAYS_INLINE V operand(const typename V::Scalar* from) {
    if constexpr (shared)
        return V(*from);
    else
        return V::load(from);
}

// Adds a term to the sums of a tile: sum[i][j] += left(i) right(j). The shorter side stays in registers; each number of the longer side is read once, then used
// up. `keep_left` and `keep_right` say whether the compiler is told so: it would read a number of lanes at each use, and broadcast a shared one as it is used.
template <int I, int J, bool keep_left, bool keep_right, AnyLanes V, class Left, class Right>
EIGEN_ALWAYS_INLINE void add_term(V (&sum)[I * J], const Left& left, const Right& right) {
    if constexpr (I <= J) {
        decltype(left(0)) held[I];
        SHOAL_UNROLL for (int i = 0; i < I; ++i) held[i] = left(i);
        SHOAL_UNROLL for (int j = 0; j < J; ++j) {
            V other = right(j);
            if constexpr (keep_right && I > 1) stay_in_register(other);
            SHOAL_UNROLL for (int i = 0; i < I; ++i) sum[i * J + j] = fma(held[i], other, sum[i * J + j]);
        }
    } else {
        V held[J];
        SHOAL_UNROLL for (int j = 0; j < J; ++j) held[j] = right(j);
        SHOAL_UNROLL for (int i = 0; i < I; ++i) {
            auto other = left(i);
            if constexpr (keep_left && J > 1) stay_in_register(other);
            SHOAL_UNROLL for (int j = 0; j < J; ++j) sum[i * J + j] = fma(other, held[j], sum[i * J + j]);
        }
    }
}

// Numbers from one unit's gates to the next one's, in a pack of L networks.
template <AnyLanes V, int L>
constexpr int gates_apart = L / V::count * gate_size<V>;

// Finish::gates of the tile at (row, column). The output of a sample adds its units in ascending order, one tile after another.
template <AnyLanes V, int I, int J, int L>
EIGEN_ALWAYS_INLINE void finish_gates(const Product<typename V::Scalar>& p, const V (&sum)[I * J], std::int64_t row, std::int64_t column) {
    constexpr int apart = gates_apart<V, L>;
    const std::int64_t c_row = p.above * apart;
    typename V::Scalar *c = p.c + row * c_row + column * apart, *const output = p.output + row * L;
    const typename V::Scalar* const head = p.head + column * L;
    const V zero = zero_made_here<V>();
    SHOAL_UNROLL for (int i = 0; i < I; ++i, c += c_row) {
        V f = V::load(output + i * L);
        SHOAL_UNROLL for (int j = 0; j < J; ++j) {
            const V a = sum[i * J + j];
            store_gates(c + j * apart, zero, a);
            f = fma(larger(a, zero), V::load(head + j * L), f);
        }
        f.store(output + i * L);
        stay_in_register(c);
    }
}

// Finishes and stores the sums of a tile. Only the finishes that the pass can have are compiled.
template <AnyLanes V, int I, int J, Pass pass, int L>
EIGEN_ALWAYS_INLINE void finish(const Product<typename V::Scalar>& p, const V (&sum)[I * J], typename V::Scalar* c, std::int64_t c_row, std::int64_t row,
                                std::int64_t column) {
    const V slope = p.slope;
#define SHOAL_FINISH(end)                          \
    SHOAL_UNROLL for (int n = 0; n < I * J; ++n) { \
        if (n > 0 && n % J == 0) {                 \
            c += c_row;                            \
            stay_in_register(c);                   \
        }                                          \
        auto* const to = c + (n % J) * L;          \
        (end).store(to);                           \
    }                                              \
    return
    if constexpr (pass == Pass::forward) {
        if (p.finish == Finish::gates) return finish_gates<V, I, J, L>(p, sum, row, column);
        if (p.finish == Finish::activate)
            return with_piecewise_linear(p.activation, [&](auto phi) __attribute__((always_inline)) { SHOAL_FINISH(phi.value(sum[n], slope)); });
    }
    if constexpr (pass == Pass::input_gradient) {
        if (p.finish == Finish::times_derivative)
            return with_piecewise_linear(p.activation,
                                         [&](auto phi) __attribute__((always_inline)) { SHOAL_FINISH(phi.times_derivative(V::load(to), sum[n], slope)); });
        if (p.finish == Finish::times_stored) { SHOAL_FINISH(V::load(to) * sum[n]); }
    }
    SHOAL_FINISH(sum[n]);
#undef SHOAL_FINISH
}

// One tile whose first element is (row, column). `shared`: the values below the layer are the same for all networks. `written` unrolls that many terms, if
// their number is known at compile time. The data hold L networks side by side; the tile takes as many of them as V holds.
template <AnyLanes V, int I, int J, Pass pass, bool shared, int written = 0, int L = V::count>
EIGEN_ALWAYS_INLINE void tile(const Product<typename V::Scalar>& p, std::int64_t row, std::int64_t column) {
    using T = typename V::Scalar;
    constexpr bool forward = pass == Pass::forward, weights = is_weight_gradient(pass), gated = pass == Pass::gated_weight_gradient;
    constexpr bool shared_a = shared && forward, shared_b = shared && weights;
    constexpr int unit_a = shared_a ? 1 : gated ? gates_apart<V, L> : L, unit_b = shared_b ? 1 : L;
    const std::int64_t a_row = (forward ? p.below : weights ? 1 : p.above) * unit_a, a_term = (weights ? p.above : 1) * unit_a;
    const std::int64_t b_column = (forward ? p.inputs : 1) * unit_b, b_term = (forward ? 1 : weights ? p.below : p.inputs) * unit_b;
    const std::int64_t c_row = (forward ? p.above : weights ? p.inputs : p.below) * L;
    const T *a = p.a + row * a_row, *b = p.b + column * b_column, *delta = p.delta;
    T* const c = p.c + row * c_row + column * L;

    V sum[I * J];
    if (forward && p.begin == Begin::column) {
        SHOAL_UNROLL for (int n = 0; n < I * J; ++n) sum[n] = V::load(p.column + (column + n % J) * L);
    } else if ((forward || weights) && p.begin == Begin::stored) {
        SHOAL_UNROLL for (int n = 0; n < I * J; ++n) sum[n] = V::load(c + (n / J) * c_row + (n % J) * L);
    } else {
        SHOAL_UNROLL for (int n = 0; n < I * J; ++n) sum[n] = V(0);
    }
    const auto add = [&]() __attribute__((always_inline)) {
        V delta_s;
        if constexpr (gated) {
            delta_s = V::load(delta);
            stay_in_register(delta_s);
        }
        const auto left = [&](int i) __attribute__((always_inline)) {
            if constexpr (gated)
                return gated_factor(a + i * a_row, delta_s);
            else
                return operand<V, shared_a>(a + i * a_row);
        };
        const auto right = [&](int j) __attribute__((always_inline)) { return operand<V, shared_b>(b + j * b_column); };
        add_term<I, J, !shared_a && !gated, !shared_b>(sum, left, right);
        a += a_term;
        b += b_term;
        if constexpr (gated) delta += L;
    };
    if constexpr (written > 0) {
        SHOAL_UNROLL for (int r = 0; r < written; ++r) add();
    } else {
        SHOAL_UNROLL_TWICE for (int r = p.terms; r > 0; --r) add();
    }
    finish<V, I, J, pass, L>(p, sum, c, c_row, row, column);
}

// All tiles of one size: `rows` x `columns` of them, beginning at (row, column).
template <AnyLanes V, int I, int J, Pass pass, bool shared>
void grid(const Product<typename V::Scalar>& product, int row, int rows, int column, int columns) {
    const Product<typename V::Scalar> p = product;  // a copy that no store to C can change
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j) tile<V, I, J, pass, shared>(p, row + i * I, column + j * J);
}

template <class T>
using Grid = void (*)(const Product<T>&, int, int, int, int);

// The grids of all tile sizes, [I - 1][J - 1]; null if a tile does not fit the registers.
template <AnyLanes V, Pass pass, bool shared, int... index>
constexpr std::array<Grid<typename V::Scalar>, longest * longest> make_table(std::integer_sequence<int, index...>) {
    return {[] {
        if constexpr (fits<V>(pass, index / longest + 1, index % longest + 1))
            return &grid<V, index / longest + 1, index % longest + 1, pass, shared>;
        else
            return Grid<typename V::Scalar>(nullptr);
    }()...};
}

template <AnyLanes V, Pass pass, bool shared>
constexpr auto table = make_table<V, pass, shared>(std::make_integer_sequence<int, longest * longest>{});

}  // namespace tiles
}  // namespace shoal
