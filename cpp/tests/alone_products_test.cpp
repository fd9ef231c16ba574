// Every product and transposition of networks that train alone equals a plain loop, to the bit.
#include "shoal/alone_products.hpp"
#include "check.hpp"
#include "plain.hpp"

#include <cstring>
#include <limits>

namespace {

using plain::multiply_add;
using shoal::AnyLanes;
using shoal::Begin;
using shoal::Finish;
using shoal::Lanes;
using shoal::Pack;
namespace alone = shoal::alone;

// At least `count` numbers.
template <AnyLanes V>
Pack<V> some(std::int64_t count, std::uint32_t seed) {
    return plain::numbers<V>(alone::packs_of<V>(count), seed);
}

// A product with rows further apart than they are long; the plain loop gives all that is stored, also what has to stay.
template <AnyLanes V>
struct Case {
    using T = typename V::Scalar;
    static constexpr int L = V::count;

    int rows, columns;  // packs of C, and scalars
    std::int64_t numbers_of_sums;
    Pack<V> packs, scalars, column, before;
    alone::Product<T> product;

    Case(int rows, int columns, int terms, Begin begin, Finish finish, bool scalars_in_rows) : rows(rows), columns(columns) {
        const std::int64_t row = (rows + 1) * L;
        numbers_of_sums = (columns + 1) * row;
        packs = some<V>(terms * row, 1), scalars = some<V>((terms + 2) * (columns + 3), 2);
        column = some<V>(3 * columns, 3), before = some<V>(numbers_of_sums, 4);
        product = {.packs = packs.at(0),
                   .scalars = scalars.at(0),
                   .sums = nullptr,
                   .packs_i = L,
                   .packs_r = row,
                   .scalars_j = scalars_in_rows ? terms + 2 : 1,
                   .scalars_r = scalars_in_rows ? 1 : columns + 3,
                   .sums_i = L,
                   .sums_j = row,
                   .terms = terms,
                   .begin = begin,
                   .column = column.at(0),
                   .column_j = 3,
                   .finish = finish};
    }

    Pack<V> expected() const {
        Pack<V> sums = before;
        for (int j = 0; j < columns; ++j)
            for (int i = 0; i < rows * L; ++i) {
                T& to = sums.at(0)[j * product.sums_j + i];
                T sum = product.begin == Begin::zero ? T(0) : product.begin == Begin::stored ? to : column.at(0)[3 * j];
                for (int r = 0; r < product.terms; ++r)
                    sum = multiply_add(packs.at(0)[r * product.packs_r + i], scalars.at(0)[j * product.scalars_j + r * product.scalars_r], sum);
                const bool kept = product.finish == Finish::store || (product.finish == Finish::activate ? sum : to) > 0;
                to = kept ? sum : T(0);
            }
        return sums;
    }

    // Whether `act`, given the product, computes all of it, and changes nothing else.
    template <class Act>
    bool right(Act&& act) {
        Pack<V> sums = before;
        product.sums = sums.at(0);
        act(product);
        return std::memcmp(sums.at(0), expected().at(0), numbers_of_sums * sizeof(T)) == 0;
    }
};

template <AnyLanes V>
void products_are_plain_loops() {
    int tested = 0;
    for (const Begin begin : {Begin::zero, Begin::column, Begin::stored})
        for (const Finish finish : {Finish::store, Finish::activate, Finish::times_derivative}) {
            for (int i = 1; i <= alone::tiles::most_packs; ++i)
                for (int j = 1; j <= alone::tiles::most_scalars; ++j) {
                    const auto grid = alone::tiles::table<V>[(i - 1) * alone::tiles::most_scalars + j - 1];
                    CHECK((grid != nullptr) == alone::tiles::fits<V>(i, j), "%d x %d", i, j);
                    for (const int terms : {1, 2, 7}) {
                        Case<V> made(i, j, terms, begin, finish, terms == 2);
                        CHECK(!grid || made.right([&](const auto& product) { grid(product, 0, 1, 0, 1); }), "a tile of %d x %d, %d terms, begin %d", i, j,
                              terms, int(begin));
                        tested += grid != nullptr;
                    }
                }
            for (int rows = 1; rows <= 19; rows += 1 + rows / 4)
                for (int columns = 1; columns <= 29; ++columns)
                    for (const int terms : {1, 5, 40})
                        for (const alone::Stays stays : {alone::Stays::packs, alone::Stays::scalars})
                            for (const int most_terms : {finish == Finish::times_derivative ? 1000 : 3, 1000}) {
                                const auto plan = alone::plan_of<V>(rows, columns, terms);
                                Case<V> made(rows, columns, terms, begin, finish, columns % 2);
                                const bool right = made.right([&](const auto& product) { alone::multiply<V>(plan, stays, most_terms, product); });
                                CHECK(right, "%d x %d packs, %d terms, at most %d at a time, begin %d", rows, columns, terms, most_terms, int(begin));
                                ++tested;
                            }
        }
    std::printf("%d products, %d x %zu-byte lanes\n", tested, V::count, sizeof(typename V::Scalar));
}

// Whatever lies behind the numbers of a row is not read as a number, and the rows that are written end in 0.
template <AnyLanes V>
void transposes_are_plain_loops() {
    using T = typename V::Scalar;
    constexpr int L = V::count;
    for (int rows = 1; rows <= 3 * L + 1; ++rows)
        for (int columns = 1; columns <= 3 * L + 1; ++columns) {
            const std::int64_t from_row = (alone::packs_of<V>(rows) + 1) * L, to_row = (alone::packs_of<V>(columns) + 1) * L;
            Pack<V> from = some<V>(columns * from_row, 5), to = some<V>((rows + 1) * to_row, 6), expected = to;
            for (int c = 0; c < columns; ++c) std::fill(from.at(0) + c * from_row + rows, from.at(0) + (c + 1) * from_row, std::numeric_limits<T>::quiet_NaN());
            for (int r = 0; r < rows; ++r)
                for (int c = 0; c < alone::packs_of<V>(columns) * L; ++c) expected.at(0)[r * to_row + c] = c < columns ? from.at(0)[c * from_row + r] : T(0);
            alone::transpose<V>(from.at(0), from_row, rows, columns, to.at(0), to_row);
            CHECK(std::memcmp(to.at(0), expected.at(0), (rows + 1) * to_row * sizeof(T)) == 0, "%d x %d", rows, columns);
        }
}

}  // namespace

void run_tests() {
    products_are_plain_loops<Lanes<double>>();
    products_are_plain_loops<Lanes<float>>();
    transposes_are_plain_loops<Lanes<double>>();
    transposes_are_plain_loops<Lanes<float>>();
}
