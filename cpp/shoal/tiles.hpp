// The one loop in which the time is spent, for L networks at once:
//
//   C[i][j] = finish( begin[i][j] + sum_r A[i][r] B[j][r] ),    r ascending, one fused multiply-add a term
//
//   forward           i sample, j unit,   r input    C = phi(b + h W^T)
//   weight_gradient   i unit,   j input,  r sample   C += delta^T h
//   input_gradient    i sample, j input,  r unit     C = phi'(h) (delta W)
//
// C is cut into tiles of I x J sums that stay in registers while r runs; A and B are read once a tile. An operand is either lanes (a number for each network)
// or shared (one number, broadcast: the inputs). The order of each sum does not depend on the tiles: they change the speed, never the bits.
#pragma once

#include "shoal/lanes.hpp"

#include <array>
#include <cstdint>
#include <utility>

namespace shoal {

enum class Pass { forward, weight_gradient, input_gradient };
enum class Begin { zero, column, stored };  // sums start from 0, from a number for each column (the biases), from what C holds
enum class Finish { store, relu, leaky_relu, where_positive, leaky_where_positive, times_stored };

// One pass over one layer for one block of samples.
template <class T>
struct Product {
    const T *a, *b;
    T* c;
    std::int64_t inputs, outputs;  // of the layer: the strides of A, B and C, in numbers of one network
    int terms;
    Begin begin;
    const T* column;  // of Begin::column
    Finish finish;
    T slope;
};

// How many numbers of one axis the tiles take: `large` tiles of `size`, then `small` tiles of `size - 1`.
struct Cut {
    int size, large, small;

    static Cut of(int count, int size) {
        const int tiles = (count + size - 1) / size, each = count / tiles, over = count % tiles;
        return over ? Cut{each + 1, over, tiles - over} : Cut{each, tiles, 0};
    }
};

namespace tiles {

#if defined(__AVX512F__) || defined(__ARM_NEON)
constexpr int registers = 32;
#else
constexpr int registers = 16;
#endif
constexpr int longest = 8;

// I x J sums, the shorter side of the operands, and one number of the longer side stand in registers.
constexpr bool fits(int i, int j) { return i >= 1 && j >= 1 && i <= longest && j <= longest && i * j + (i < j ? i : j) + 1 <= registers; }

template <class T, bool shared>
EIGEN_STRONG_INLINE Lanes<T> operand(const T* from) {
    if constexpr (shared)
        return Lanes<T>(*from);
    else
        return Lanes<T>::load(from);
}

// Stores end(sum) of each sum of a tile, with the finish that the product asks for among those that the pass can have.
template <class T, int I, int J, Pass pass>
EIGEN_STRONG_INLINE void finish(const Product<T>& p, const Lanes<T> (&sum)[I * J], T* c, std::int64_t c_row) {
    using L = Lanes<T>;
    const L zero = T(0), slope = p.slope;
#define SHOAL_FINISH(end)                                       \
    SHOAL_UNROLL for (int n = 0; n < I * J; ++n) {              \
        T* const to = c + (n / J) * c_row + (n % J) * L::count; \
        (end).store(to);                                        \
    }                                                           \
    return
    if constexpr (pass == Pass::forward) {
        if (p.finish == Finish::relu) { SHOAL_FINISH(relu(sum[n])); }
        if (p.finish == Finish::leaky_relu) { SHOAL_FINISH(where_less(sum[n], zero, slope * sum[n], sum[n])); }
    }
    if constexpr (pass == Pass::input_gradient) {
        if (p.finish == Finish::where_positive) { SHOAL_FINISH(keep_where_positive(L::load(to), sum[n])); }
        if (p.finish == Finish::leaky_where_positive) { SHOAL_FINISH(where_less(zero, L::load(to), sum[n], slope * sum[n])); }
        if (p.finish == Finish::times_stored) { SHOAL_FINISH(L::load(to) * sum[n]); }
    }
    SHOAL_FINISH(sum[n]);
#undef SHOAL_FINISH
}

// One tile whose first element is (row, column). `shared`: the layer's inputs are one number for all networks.
template <class T, int I, int J, Pass pass, bool shared>
EIGEN_STRONG_INLINE void tile(const Product<T>& p, std::int64_t row, std::int64_t column) {
    constexpr int L = Lanes<T>::count;
    constexpr bool shared_a = shared && pass == Pass::forward, shared_b = shared && pass == Pass::weight_gradient;
    constexpr int unit_a = shared_a ? 1 : L, unit_b = shared_b ? 1 : L;
    const std::int64_t a_row = (pass == Pass::forward ? p.inputs : pass == Pass::weight_gradient ? 1 : p.outputs) * unit_a;
    const std::int64_t a_term = (pass == Pass::weight_gradient ? p.outputs : 1) * unit_a;
    const std::int64_t b_column = (pass == Pass::forward ? p.inputs : 1) * unit_b;
    const std::int64_t b_term = (pass == Pass::forward ? 1 : p.inputs) * unit_b;
    const std::int64_t c_row = (pass == Pass::forward ? p.outputs : p.inputs) * L;
    const T* a = p.a + row * a_row;
    const T* b = p.b + column * b_column;
    T* const c = p.c + row * c_row + column * L;

    Lanes<T> sum[I * J];
    if (pass == Pass::forward && p.begin == Begin::column) {
        SHOAL_UNROLL for (int n = 0; n < I * J; ++n) sum[n] = Lanes<T>::load(p.column + (column + n % J) * L);
    } else if (pass == Pass::weight_gradient && p.begin == Begin::stored) {
        SHOAL_UNROLL for (int n = 0; n < I * J; ++n) sum[n] = Lanes<T>::load(c + (n / J) * c_row + (n % J) * L);
    } else {
        SHOAL_UNROLL for (int n = 0; n < I * J; ++n) sum[n] = Lanes<T>(T(0));
    }
    for (int r = p.terms; r > 0; --r) {
        // The shorter side is held in registers; each number of the longer side is read once, then used up.
        if constexpr (I <= J) {
            Lanes<T> held[I];
            SHOAL_UNROLL for (int i = 0; i < I; ++i) held[i] = operand<T, shared_a>(a + i * a_row);
            SHOAL_UNROLL for (int n = 0; n < I * J; ++n) {
                const int i = n % I, j = n / I;
                sum[i * J + j] = fma(held[i], operand<T, shared_b>(b + j * b_column), sum[i * J + j]);
            }
        } else {
            Lanes<T> held[J];
            SHOAL_UNROLL for (int j = 0; j < J; ++j) held[j] = operand<T, shared_b>(b + j * b_column);
            SHOAL_UNROLL for (int n = 0; n < I * J; ++n) {
                const int i = n / J, j = n % J;
                sum[n] = fma(operand<T, shared_a>(a + i * a_row), held[j], sum[n]);
            }
        }
        a += a_term;
        b += b_term;
    }
    finish<T, I, J, pass>(p, sum, c, c_row);
}

// All tiles of one size: `rows` x `columns` of them from (row, column) on.
template <class T, int I, int J, Pass pass, bool shared>
void grid(const Product<T>& product, int row, int rows, int column, int columns) {
    const Product<T> p = product;  // a copy that no store to C can change
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j) tile<T, I, J, pass, shared>(p, row + i * I, column + j * J);
}

template <class T>
using Grid = void (*)(const Product<T>&, int, int, int, int);

// The grids of all tile sizes, [I - 1][J - 1]; null where a tile would not fit the registers.
template <class T, Pass pass, bool shared, int... index>
constexpr std::array<Grid<T>, longest * longest> make_table(std::integer_sequence<int, index...>) {
    return {[] {
        if constexpr (fits(index / longest + 1, index % longest + 1))
            return &grid<T, index / longest + 1, index % longest + 1, pass, shared>;
        else
            return Grid<T>(nullptr);
    }()...};
}

template <class T, Pass pass, bool shared>
constexpr auto table = make_table<T, pass, shared>(std::make_integer_sequence<int, longest * longest>{});

// Cycles of one tile by the port model: two multiply-adds or two loads a cycle, a chain of latency 4 a term, and a start and an end for each sum.
constexpr double cycles(int i, int j, int terms) {
    const double arithmetic = i * j / 2.0, loads = (i + j) / 2.0, latency = 4.0;
    const double bound = arithmetic > loads ? arithmetic : loads;
    return terms * (bound > latency ? bound : 0.5 * (bound + latency)) + 1.5 * i * j + 6.0;
}

}  // namespace tiles

// How one product is cut into tiles: chosen once, before training, by the port model.
struct Plan {
    Cut rows, columns;
    double cycles;

    static Plan of(int rows, int columns, int terms) {
        Plan best{{}, {}, 1e300};
        for (int i = 1; i <= tiles::longest; ++i)
            for (int j = 1; j <= tiles::longest; ++j) {
                if (!tiles::fits(i, j)) continue;
                const Cut r = Cut::of(rows, i), c = Cut::of(columns, j);
                double cycles = 0.0;
                for (int a = 0; a < 2; ++a)
                    for (int b = 0; b < 2; ++b) cycles += double(a ? r.small : r.large) * (b ? c.small : c.large) * tiles::cycles(r.size - a, c.size - b, terms);
                if (cycles < best.cycles) best = {r, c, cycles};
            }
        return best;
    }
};

template <Pass pass, bool shared, class T>
inline void multiply(const Plan& plan, const Product<T>& product) {
    for (int a = 0, row = 0; a < 2; ++a) {
        const int rows = a ? plan.rows.small : plan.rows.large, i = plan.rows.size - a;
        if (!rows) continue;
        for (int b = 0, column = 0; b < 2; ++b) {
            const int columns = b ? plan.columns.small : plan.columns.large, j = plan.columns.size - b;
            if (!columns) continue;
            tiles::table<T, pass, shared>[(i - 1) * tiles::longest + j - 1](product, row, rows, column, columns);
            column += columns * j;
        }
        row += rows * i;
    }
}

}  // namespace shoal
