// The one loop in which a network trains alone, whose samples or inputs are in the lanes.
//
//   C[i][j] = begin[i][j] + sum_r P[i][r] q[j][r],    r ascending, one fused multiply-add per term
//
//   forward            i pack of samples, j unit,   r input    P = h,          q = W
//   input gradient     i pack of samples, j input,  r unit     P = delta,      q = W
//   weight gradient    i pack of inputs,  j unit,   r sample   P = h (rows),   q = delta
//
// P and C hold packs of L numbers, q holds scalars. Each number of C is a sum of the same terms in the same order as in lanes across networks (tiles.hpp), so
// both engines have the same bits. Tiles, panels and pieces of a sum change the speed, never the bits.
#pragma once

#include "shoal/plan.hpp"

#include <algorithm>

namespace shoal::alone {

// An operand lies at `first + i of_i + r of_r`, counted in numbers.
template <class T>
struct Product {
    const T *packs, *scalars;
    T* sums;
    std::int64_t packs_i, packs_r, scalars_j, scalars_r, sums_i, sums_j;
    int terms;
    Begin begin = Begin::zero;
    const T* column = nullptr;     // of Begin::column: a number for each j,
    std::int64_t column_j = 0;     // so far apart
    // What is stored in place of C: with `activate` relu(C), with `times_derivative` C where the number that is there is positive, elsewhere 0. (For the latter
    // all terms have to be added up at a time.)
    Finish finish = Finish::store;
};

namespace tiles {

constexpr int most_packs = 8, most_scalars = 12;

template <AnyLanes V>
constexpr bool fits(int i, int j) {
    return i * j + std::min(i, j) + 1 <= shoal::tiles::machine_registers;
}

// The tile of I x J sums from (row, column) on.
template <AnyLanes V, int I, int J>
EIGEN_ALWAYS_INLINE void tile(const Product<typename V::Scalar>& p, int row, int column) {
    using T = typename V::Scalar;
    const T *packs = p.packs + row * p.packs_i, *scalars = p.scalars + column * p.scalars_j;
    T* const to = p.sums + row * p.sums_i + column * p.sums_j;
    V sum[I * J];
    if (p.begin == Begin::column) {
        SHOAL_UNROLL for (int j = 0; j < J; ++j) {
            const V first = p.column[(column + j) * p.column_j];
            SHOAL_UNROLL for (int i = 0; i < I; ++i) sum[i * J + j] = first;
        }
    } else if (p.begin == Begin::stored) {
        SHOAL_UNROLL for (int n = 0; n < I * J; ++n) sum[n] = V::load(to + (n / J) * p.sums_i + (n % J) * p.sums_j);
    } else {
        SHOAL_UNROLL for (int n = 0; n < I * J; ++n) sum[n] = V(0);
    }
    SHOAL_UNROLL_TWICE for (int r = p.terms; r > 0; --r) {
        const auto pack = [&](int i) __attribute__((always_inline)) { return V::load(packs + i * p.packs_i); };
        const auto scalar = [&](int j) __attribute__((always_inline)) { return V(scalars[j * p.scalars_j]); };
        shoal::tiles::add_term<I, J, true, false>(sum, pack, scalar);
        packs += p.packs_r;
        scalars += p.scalars_r;
    }
    const auto at = [&](int n) __attribute__((always_inline)) { return to + (n / J) * p.sums_i + (n % J) * p.sums_j; };
    if (p.finish == Finish::activate) SHOAL_UNROLL for (int n = 0; n < I * J; ++n) sum[n] = relu(sum[n]);
    if (p.finish == Finish::times_derivative) SHOAL_UNROLL for (int n = 0; n < I * J; ++n) sum[n] = keep_where_positive(V::load(at(n)), sum[n]);
    SHOAL_UNROLL for (int n = 0; n < I * J; ++n) sum[n].store(at(n));
}

// All tiles of one size: `rows` x `columns` of them from (row, column) on.
template <AnyLanes V, int I, int J>
void grid(const Product<typename V::Scalar>& product, int row, int rows, int column, int columns) {
    const Product<typename V::Scalar> p = product;  // a copy that no store can change
    for (int j = 0; j < columns; ++j)
        for (int i = 0; i < rows; ++i) tile<V, I, J>(p, row + i * I, column + j * J);
}

template <class T>
using Grid = void (*)(const Product<T>&, int, int, int, int);

// The grids of all sizes of tiles, [I - 1][J - 1]; null if a tile would not fit the registers.
template <AnyLanes V, int... index>
constexpr std::array<Grid<typename V::Scalar>, sizeof...(index)> make_table(std::integer_sequence<int, index...>) {
    return {[] {
        if constexpr (constexpr int i = index / most_scalars + 1, j = index % most_scalars + 1; fits<V>(i, j))
            return &grid<V, i, j>;
        else
            return Grid<typename V::Scalar>(nullptr);
    }()...};
}

template <AnyLanes V>
constexpr auto table = make_table<V>(std::make_integer_sequence<int, most_packs * most_scalars>{});

}  // namespace tiles

// How a product is cut into tiles: packs in the rows of the plan, scalars in its columns.
template <AnyLanes V>
Plan plan_of(int packs, int scalars, int terms) {
    return Plan::best(packs, scalars, terms, tiles::most_packs, tiles::most_scalars, tiles::fits<V>);
}

// act(first, size, count) for each of the two sizes of pieces of one axis: `count` pieces from `first` on.
template <class Act>
void for_each_size(const Cut& cut, Act&& act) {
    if (cut.large > 0) act(0, cut.size, cut.large);
    if (cut.small > 0) act(cut.large * cut.size, cut.size - 1, cut.small);
}

// The side of which a panel stays in the nearest cache while all of the other side passes it.
enum class Stays { packs, scalars };

// Carries out a product as it is cut. At most `most_terms` terms of a sum are added up at a time.
template <AnyLanes V>
void multiply(const Plan& plan, Stays stays, int most_terms, const Product<typename V::Scalar>& product) {
    using T = typename V::Scalar;
    const auto grid = [](const Product<T>& piece, int row, int i, int rows, int column, int j, int columns) {
        tiles::table<V>[(i - 1) * tiles::most_scalars + j - 1](piece, row, rows, column, columns);
    };
    const bool whole = product.terms <= most_terms;
    const Cut terms = Cut::of(product.terms, whole ? std::max(product.terms, 1) : most_terms);
    for_each_size(plan.columns, [&](int column, int j, int columns) {
        for_each_size(plan.rows, [&](int row, int i, int rows) {
            if (whole && stays == Stays::scalars) return grid(product, row, i, rows, column, j, columns);
            if (whole) {
                for (int n = 0; n < rows; ++n) grid(product, row + n * i, i, 1, column, j, columns);
                return;
            }
            for (int n = 0; n < columns; ++n)
                for (int piece = 0, term = 0; piece < terms.large + terms.small; ++piece) {
                    const int count = piece < terms.large ? terms.size : terms.size - 1;
                    Product<T> part = product;
                    part.packs += term * product.packs_r;
                    part.scalars += term * product.scalars_r;
                    part.terms = count;
                    if (term > 0) part.begin = Begin::stored;
                    term += count;
                    part.finish = term == product.terms ? product.finish : Finish::store;
                    grid(part, row, i, rows, column + n * j, j, 1);
                }
        });
    });
}

// Packs that hold so many numbers.
template <AnyLanes V>
constexpr int packs_of(std::int64_t numbers) {
    return int((numbers + V::count - 1) / V::count);
}

// to[r][c] = from[c][r], of `rows` x `columns` numbers of `to`, whose rows are filled up with 0 to whole packs. Both have rows of whole packs; those of `from`
// may hold anything behind its `rows` numbers.
template <AnyLanes V>
void transpose(const typename V::Scalar* from, std::int64_t from_row, int rows, int columns, typename V::Scalar* to, std::int64_t to_row) {
    constexpr int L = V::count;
    for (int column = 0; column < columns; column += L)
        for (int row = 0; row < rows; row += L) {
            typename V::Square block;
            for (int n = 0; n < L; ++n) block.packet[n] = (column + n < columns ? V::load(from + (column + n) * from_row + row) : V(0)).value[0];
            packet::ptranspose(block);
            for (int n = 0; n < std::min(L, rows - row); ++n) packet::pstore(to + (row + n) * to_row + column, block.packet[n]);
        }
}

}  // namespace shoal::alone
