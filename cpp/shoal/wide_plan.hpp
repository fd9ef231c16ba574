// One network too wide for lanes across networks: the lanes hold its units.
//
// Each product of a layer is then a shared scalar (a sample's value below) times lanes (the weights into L units), for which the tiles work unchanged: forward
// over units, the weight gradient over units, and the input gradient over the units below, with a transposed copy of W. Only the sum of a single output runs
// across units. It is kept in as many partial sums as a cache line has numbers, whatever L is, so that its bits do not depend on the instruction set.
//
// Samples are cut into shares, each with its own gradient; the gradients are merged in order. The cut depends only on the network and on the number of samples.
// Within a share samples are summed one by one. Blocks of samples, panels of units and pieces of a sum change the speed, never the bits.
#pragma once

#include "shoal/plan.hpp"

#include <algorithm>

namespace shoal::wide {

// Numbers per cache line: rows of units are padded to whole lines with units that have no weights.
template <class T>
constexpr int line = 64 / int(sizeof(T));

template <class T>
constexpr std::int64_t filled(std::int64_t units) {
    return (units + line<T> - 1) / line<T> * line<T>;
}

// Rows of values are an odd number of lines apart, so that a panel of them spreads over all sets of the cache.
template <class T>
constexpr std::int64_t row_numbers(std::int64_t units) {
    return (filled<T>(units) / line<T> | 1) * line<T>;
}

// The number of packs that hold the units of one side of a layer.
template <AnyLanes V>
constexpr int groups(std::int64_t units) {
    return int(filled<typename V::Scalar>(units) / V::count);
}

constexpr int most_block_samples = 128, least_share_samples = 128, most_shares = 32;
constexpr std::int64_t most_share_numbers = std::int64_t(1) << 26;  // in the gradients of all shares, if there are more than four

// The number of shares into which the samples are cut.
inline int shares(const Network& network, int samples) {
    const std::int64_t affordable = std::max<std::int64_t>(4, most_share_numbers / std::max(network.parameters, 1));
    const std::int64_t wanted = (std::int64_t(samples) + least_share_samples - 1) / least_share_samples;
    return int(std::min<std::int64_t>({wanted, affordable, most_shares}));
}

// The samples of one share: `samples` of them, beginning at `first`.
struct Share {
    int first, samples;

    static Share of(int samples, int shares, int share) {
        const int each = samples / shares, over = samples % shares;
        return {share * each + std::min(share, over), each + (share < over)};
    }
};

// Calls act(first, size) for each piece of one axis of a product.
template <class Act>
void for_each_piece(const Cut& cut, Act&& act) {
    for (int piece = 0, first = 0; piece < cut.large + cut.small; ++piece) {
        const int size = piece < cut.large ? cut.size : cut.size - 1;
        act(first, size);
        first += size;
    }
}

// Sets C to, or adds to C, the sums of scalars times lanes, one row per sample:
//
//   C[s][group] = begin + sum_r a[s][r] B[group][r]
//
// A panel of B stays in the L1 cache while all rows of `a` pass.
template <AnyLanes V>
void multiply_rows(const Plan& plan, std::int64_t panel_bytes, Product<typename V::Scalar> product) {
    using T = typename V::Scalar;
    const std::int64_t bytes = std::int64_t(plan.columns.size) * V::count * sizeof(T);
    const Cut terms = Cut::of(product.terms, int(std::max<std::int64_t>(16, panel_bytes / bytes)));
    for_each_piece(plan.columns, [&](int group, int size) {
        for_each_piece(terms, [&](int term, int count) {
            Product<T> piece = product;
            piece.a += term;
            piece.b += (group * product.inputs + term) * V::count;
            piece.c += std::int64_t(group) * V::count;
            if (piece.column) piece.column += std::int64_t(group) * V::count;
            piece.terms = count;
            if (term > 0) piece.begin = Begin::stored;
            if (term + count < product.terms) piece.finish = Finish::store;
            for (int part = 0, row = 0; part < 2; ++part) {
                const int rows = part ? plan.rows.small : plan.rows.large, i = plan.rows.size - part;
                if (!rows) continue;
                tiles::table<V, Pass::forward, true>[(i - 1) * tiles::longest + size - 1](piece, row, rows, 0, 1);
                row += rows * i;
            }
        });
    });
}

// C[group][j] += sum_s lanes[s][group] scalars[s][j]. The operands are copies in which each panel of groups, and each piece of columns, is contiguous, one row
// per sample.
template <AnyLanes V>
void multiply_terms(const Plan& plan, const typename V::Scalar* lanes, const typename V::Scalar* scalars, typename V::Scalar* c, int inputs, int terms,
                    Begin begin) {
    using T = typename V::Scalar;
    for_each_piece(plan.rows, [&](int group, int i) {
        for_each_piece(plan.columns, [&](int column, int j) {
            const Product<T> product{.a = lanes + std::int64_t(group) * terms * V::count,
                                     .b = scalars + std::int64_t(column) * terms,
                                     .c = c + (std::int64_t(group) * inputs + column) * V::count,
                                     .below = j,
                                     .above = i,
                                     .inputs = inputs,
                                     .terms = terms,
                                     .begin = begin};
            tiles::table<V, Pass::weight_gradient, true>[(i - 1) * tiles::longest + j - 1](product, 0, 1, 0, 1);
        });
    });
}

}  // namespace shoal::wide
