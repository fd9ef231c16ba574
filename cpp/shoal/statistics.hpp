// Statistics over some networks, of each number that is recorded of them:
//
//   mean = sum_i x_i / n,   squares = sum_i (x_i - mean)^2,   least, most,   products = sum_i (x_i - mean_x) (y_i - mean_y)
//
// Sums over networks run in ascending order, in double precision whatever the type of the records. Also counts of networks that meet an event, and histograms.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>

namespace shoal {

// Records of one measure: `numbers` per network, network after network.
template <class T>
struct Records {
    const T* values;
    std::int64_t numbers;

    const T* of(std::int64_t network) const { return values + network * numbers; }
};

// Calls act(first number, count) on pieces of a network's numbers; most pieces have a constant length.
template <class Act>
void for_each_column(std::int64_t numbers, Act&& act) {
    constexpr int together = 32;  // of 16, GCC 12 reads several networks at a time, by gathers, which takes two to three times as long
    std::int64_t first = 0;
    for (; first + together <= numbers; first += together) act(first, std::integral_constant<int, together>());
    for (; first < numbers; ++first) act(first, std::integral_constant<int, 1>());
}

// Writes four rows of numbers: mean, squares, least, most. Over no networks they are 0, 0, infinity, -infinity. If one value is NaN, so are all four.
template <class T>
void take_moments(Records<T> records, std::span<const std::int64_t> networks, double* to) {
    const double count = double(std::max<std::size_t>(networks.size(), 1));
    for_each_column(records.numbers, [&](std::int64_t first, auto columns) {
        double mean[columns], squares[columns], least[columns], most[columns];
        for (int c = 0; c < columns; ++c) {
            mean[c] = squares[c] = 0.0;
            least[c] = std::numeric_limits<double>::infinity(), most[c] = -least[c];
        }
        for (const std::int64_t network : networks) {
            const T* const x = records.of(network) + first;
            for (int c = 0; c < columns; ++c) {
                const double value = double(x[c]);
                mean[c] += value;
                least[c] = value < least[c] ? value : least[c];
                most[c] = value > most[c] ? value : most[c];
            }
        }
        for (int c = 0; c < columns; ++c) {
            mean[c] /= count;
            if (!std::isnan(mean[c])) continue;  // then some value is NaN, which no comparison above chose, or both infinities are there
            for (const std::int64_t network : networks)
                if (const double value = double(records.of(network)[first + c]); std::isnan(value)) least[c] = most[c] = value;
        }
        for (const std::int64_t network : networks) {
            const T* const x = records.of(network) + first;
            for (int c = 0; c < columns; ++c) {
                const double off = double(x[c]) - mean[c];
                squares[c] += off * off;
            }
        }
        double* const row = to + first;
        std::copy_n(mean, int(columns), row);
        std::copy_n(squares, int(columns), row + records.numbers);
        std::copy_n(least, int(columns), row + 2 * records.numbers);
        std::copy_n(most, int(columns), row + 3 * records.numbers);
    });
}

// Writes the products of two measures with equally many numbers and known means.
template <class T>
void take_products(Records<T> one, Records<T> other, std::span<const std::int64_t> networks, const double* mean, const double* other_mean, double* to) {
    for_each_column(one.numbers, [&](std::int64_t first, auto columns) {
        double products[columns] = {};
        for (const std::int64_t network : networks) {
            const T *const x = one.of(network) + first, *const y = other.of(network) + first;
            for (int c = 0; c < columns; ++c) products[c] += (double(x[c]) - mean[first + c]) * (double(y[c]) - other_mean[first + c]);
        }
        std::copy_n(products, int(columns), to + first);
    });
}

// How an event compares a number with its threshold.
enum class Relation { below, at_most, above, at_least };

// Adds to each number's count the networks that meet the event. NaN, as of a network that diverged, counts as above every threshold.
template <class T>
void count_events(Records<T> records, std::span<const std::int64_t> networks, Relation relation, double threshold, std::int64_t* counts) {
    const auto add = [&](auto meets) {
        for (const std::int64_t network : networks) {
            const T* const x = records.of(network);
            for (std::int64_t n = 0; n < records.numbers; ++n) counts[n] += meets(double(x[n]));
        }
    };
    switch (relation) {
        case Relation::below: return add([=](double x) { return x < threshold; });
        case Relation::at_most: return add([=](double x) { return x <= threshold; });
        case Relation::above: return add([=](double x) { return !(x <= threshold); });
        case Relation::at_least: return add([=](double x) { return !(x < threshold); });
    }
}

// Bins of relative width 2^-bits: 2^bits per octave, from 2^-octaves to 2^octaves, for either sign. One bin holds 0 and all smaller numbers; one bin per sign
// holds all larger ones. Bins ascend from the most negative numbers to the largest.
struct Bins {
    static constexpr int octaves = 32, mantissa = std::numeric_limits<double>::digits - 1;
    int bits;

    std::int64_t of_a_sign() const { return std::int64_t(2 * octaves) << bits; }
    std::int64_t count() const { return 2 * of_a_sign() + 3; }

    // The bin of x; -1 for NaN.
    std::int64_t operator()(double x) const {
        constexpr auto least = std::bit_cast<std::int64_t>(0x1p-32);
        static_assert(octaves == 32);
        if (std::isnan(x)) return -1;
        const std::int64_t above = (std::bit_cast<std::int64_t>(std::abs(x)) - least) >> (mantissa - bits), half = of_a_sign();
        const std::int64_t away = above < 0 ? 0 : std::min(above, half) + 1;  // 0 in the bin of 0, half + 1 beyond the largest octave
        return half + 1 + (x < 0 ? -away : away);
    }
};

// Adds the networks to the histogram, a row of bins, of each number. NaN is in no bin.
template <class T>
void fill_histograms(Records<T> records, std::span<const std::int64_t> networks, Bins bins, std::int64_t* histograms) {
    const std::int64_t row = bins.count();
    for (const std::int64_t network : networks) {
        const T* const x = records.of(network);
        for (std::int64_t n = 0; n < records.numbers; ++n)
            if (const std::int64_t bin = bins(double(x[n])); bin >= 0) ++histograms[n * row + bin];
    }
}

}  // namespace shoal
