// Statistics over networks compared with sums in long double, the bins with their ends, histograms and events with counts one by one.
#include "shoal/statistics.hpp"
#include "check.hpp"

#include <random>
#include <vector>

namespace {

using shoal::Bins;
using shoal::Records;

template <class T>
struct Drawn {
    std::int64_t numbers;
    std::vector<T> values;
    std::vector<std::int64_t> chosen;

    Drawn(std::int64_t networks, std::int64_t numbers, unsigned seed, double offset) : numbers(numbers), values(networks * numbers) {
        std::mt19937_64 generator(seed);
        std::normal_distribution<double> normal(offset);
        for (T& x : values) x = T(normal(generator));
        for (std::int64_t n = 0; n < networks; ++n)
            if (n % 3 != 1) chosen.push_back(n);  // some are left out
    }
    Records<T> records() const { return {values.data(), numbers}; }
};

struct Exact {
    long double mean = 0, squares = 0, size = 0;
    double least = std::numeric_limits<double>::infinity(), most = -least;
};

template <class T>
Exact exact(const Drawn<T>& drawn, std::int64_t number) {
    Exact found;
    for (const std::int64_t n : drawn.chosen) {
        const double x = double(drawn.values[n * drawn.numbers + number]);
        found.mean += x, found.least = std::min(found.least, x), found.most = std::max(found.most, x);
        found.size = std::max(found.size, std::abs((long double)x));
    }
    found.mean /= std::max<std::size_t>(drawn.chosen.size(), 1);
    for (const std::int64_t n : drawn.chosen) {
        const long double off = (long double)drawn.values[n * drawn.numbers + number] - found.mean;
        found.squares += off * off;
    }
    return found;
}

// For pieces of 32 numbers, for single ones, and for both. Means far from 0 do not make the squares less exact.
template <class T>
void moments() {
    for (const std::int64_t numbers : {1, 31, 32, 33, 67})
        for (const std::int64_t networks : {1, 2, 40, 256})
            for (const double offset : {0.0, 1e6}) {
                const Drawn<T> drawn(networks, numbers, unsigned(numbers + networks), offset);
                std::vector<double> found(4 * numbers + 1, -77.0);
                shoal::take_moments(drawn.records(), drawn.chosen, found.data());
                CHECK(found[4 * numbers] == -77.0, "moments of %lld numbers write one more", (long long)numbers);
                const long double count = (long double)drawn.chosen.size(), unit = std::numeric_limits<double>::epsilon();
                for (std::int64_t n = 0; n < numbers; ++n) {
                    const Exact known = exact(drawn, n);
                    const long double mean = count * unit * known.size;                                              // a sum in any order, and a division
                    const long double squares = (count + 3) * unit * known.squares + count * mean * mean;           // and what the mean's error adds to them
                    const long double cross = 4 * unit * known.size * std::sqrt(count * known.squares);             // each deviation is rounded once
                    CHECK(std::abs(found[n] - known.mean) <= mean, "mean of number %lld of %lld", (long long)n, (long long)numbers);
                    CHECK(std::abs(found[numbers + n] - known.squares) <= squares + cross, "squares %g, not %g", found[numbers + n], double(known.squares));
                    CHECK(found[2 * numbers + n] == known.least && found[3 * numbers + n] == known.most, "ends of number %lld", (long long)n);
                }
            }
}

void moments_of_no_network() {
    const Drawn<double> drawn(4, 17, 1, 0.0);
    std::vector<double> found(4 * 17, -77.0);
    shoal::take_moments(drawn.records(), {}, found.data());
    for (int n = 0; n < 17; ++n) {
        CHECK(found[n] == 0 && found[17 + n] == 0, "mean and squares of none are %g, %g", found[n], found[17 + n]);
        CHECK(found[34 + n] == std::numeric_limits<double>::infinity() && found[51 + n] == -found[34 + n], "ends of none");
    }
}

// A NaN of one network shows in all four rows of its number, wherever it is, and in no other number.
template <class T>
void moments_of_no_number() {
    for (const std::int64_t network : {0, 20, 39}) {
        Drawn<T> drawn(40, 33, 3, 0.0);
        drawn.values[network * 33 + 4] = std::numeric_limits<T>::quiet_NaN();
        std::vector<double> found(4 * 33);
        shoal::take_moments(drawn.records(), drawn.chosen, found.data());
        for (int n = 0; n < 4 * 33; ++n) CHECK((found[n] != found[n]) == (n % 33 == 4), "row %d of number %d is %g", n / 33, n % 33, found[n]);
    }
}

// Infinities of both signs have no mean, but they are the least and the largest number.
template <class T>
void moments_of_infinities() {
    Drawn<T> drawn(40, 33, 3, 0.0);
    const double infinity = std::numeric_limits<double>::infinity();
    drawn.values[4] = T(infinity), drawn.values[6 * 33 + 4] = T(-infinity);
    std::vector<double> found(4 * 33);
    shoal::take_moments(drawn.records(), drawn.chosen, found.data());
    CHECK(std::isnan(found[4]) && std::isnan(found[33 + 4]), "mean and squares of infinities are %g, %g", found[4], found[33 + 4]);
    CHECK(found[66 + 4] == -infinity && found[99 + 4] == infinity, "ends of infinities are %g, %g", found[66 + 4], found[99 + 4]);
}

template <class T>
void products() {
    for (const std::int64_t numbers : {1, 32, 37}) {
        const Drawn<T> one(90, numbers, 5, 2.0), other(90, numbers, 6, -3.0);
        std::vector<double> moments(4 * numbers), others(4 * numbers), found(numbers + 1, -77.0), own(numbers + 1);
        shoal::take_moments(one.records(), one.chosen, moments.data());
        shoal::take_moments(other.records(), one.chosen, others.data());
        shoal::take_products(one.records(), other.records(), one.chosen, moments.data(), others.data(), found.data());
        shoal::take_products(one.records(), one.records(), one.chosen, moments.data(), moments.data(), own.data());
        CHECK(found[numbers] == -77.0, "products of %lld numbers write one more", (long long)numbers);
        for (std::int64_t n = 0; n < numbers; ++n) {
            long double known = 0, size = 0;
            const Exact x = exact(one, n), y = exact(other, n);
            for (const std::int64_t k : one.chosen) {
                const long double term = ((long double)one.values[k * numbers + n] - x.mean) * ((long double)other.values[k * numbers + n] - y.mean);
                known += term, size += std::abs(term);
            }
            const long double count = (long double)one.chosen.size(), unit = std::numeric_limits<double>::epsilon();
            // The sum is rounded. So are the means, by count units of their size, which shifts every deviation.
            const long double shifts = count * unit * (x.size * std::sqrt(count * y.squares) + y.size * std::sqrt(count * x.squares));
            CHECK(std::abs(found[n] - known) <= (count + 4) * unit * size + shifts, "product %g, not %g", found[n], double(known));
            CHECK(own[n] == moments[numbers + n], "the product of a number with itself is its square");
        }
    }
}

// The lower end of bin number `bin`, counted from the one around 0, on the positive side.
double begin(const Bins& bins, std::int64_t bin) {
    const std::int64_t each = std::int64_t(1) << bins.bits, from = bin - 1;
    return std::ldexp(1.0 + double(from % each) / double(each), int(from / each) - Bins::octaves);
}

void ends_of_bins() {
    for (const int bits : {0, 1, 3, 5, 10}) {
        const Bins bins{bits};
        const std::int64_t half = bins.of_a_sign() + 1, least = std::int64_t(1);
        CHECK(bins.count() == 2 * half + 1, "%lld bins", (long long)bins.count());
        CHECK(begin(bins, least) == 0x1p-32 && begin(bins, half) == 0x1p32, "from %g to %g", begin(bins, least), begin(bins, half));
        for (std::int64_t bin = least; bin <= half; ++bin) {
            const double x = begin(bins, bin), before = std::nextafter(x, 0.0);
            CHECK(bins(x) == half + bin && bins(-x) == half - bin, "%a in bin %lld, %lld of %lld bits", x, (long long)bins(x), (long long)bins(-x),
                  (long long)bits);
            CHECK(bins(before) == half + bin - 1 && bins(-before) == half - bin + 1, "%a in bin %lld", before, (long long)bins(before));
        }
        for (const double x : {0.0, 5e-324, 0x1p-1022, 1e-10}) CHECK(bins(x) == half && bins(-x) == half, "%a in bin %lld", x, (long long)bins(x));
        for (const double x : {0x1p32, 1e300, std::numeric_limits<double>::max(), std::numeric_limits<double>::infinity()})
            CHECK(bins(x) == 2 * half && bins(-x) == 0, "%a in bin %lld", x, (long long)bins(x));
        CHECK(bins(std::nan("")) == -1 && bins(-std::nan("")) == -1, "a NaN has a bin");
    }
}

template <class T>
void histograms() {
    const Bins bins{2};
    Drawn<T> drawn(200, 3, 8, 0.0);
    drawn.values[0] = std::numeric_limits<T>::quiet_NaN();  // of a chosen network
    std::vector<std::int64_t> found(3 * bins.count(), 1), known = found;
    shoal::fill_histograms(drawn.records(), drawn.chosen, bins, found.data());
    for (const std::int64_t n : drawn.chosen)
        for (int k = 0; k < 3; ++k)
            if (const double x = double(drawn.values[n * 3 + k]); x == x) ++known[k * bins.count() + bins(x)];
    CHECK(found == known, "histograms of 3 numbers");
}

template <class T>
void events() {
    using enum shoal::Relation;
    Drawn<T> drawn(200, 3, 9, 0.0);
    const double threshold = double(drawn.values[3]);  // which some network meets exactly
    drawn.values[0] = drawn.values[5] = T(threshold);
    drawn.values[1] = std::numeric_limits<T>::quiet_NaN();
    for (const auto relation : {below, at_most, above, at_least}) {
        std::vector<std::int64_t> found(3, 5), known(3, 5);
        shoal::count_events(drawn.records(), drawn.chosen, relation, threshold, found.data());
        for (const std::int64_t n : drawn.chosen)
            for (int k = 0; k < 3; ++k) {
                const double x = double(drawn.values[n * 3 + k]);
                const bool beyond = x != x;  // NaN: above every threshold
                known[k] += relation == below     ? x < threshold
                            : relation == at_most ? x <= threshold
                            : relation == above   ? x > threshold || beyond
                                                  : x >= threshold || beyond;
            }
        CHECK(found == known, "relation %d: %lld, %lld, %lld networks", int(relation), (long long)found[0], (long long)found[1], (long long)found[2]);
    }
}

}  // namespace

void run_tests() {
    moments<double>();
    moments<float>();
    moments_of_no_network();
    moments_of_no_number<double>();
    moments_of_infinities<double>();
    moments_of_no_number<float>();
    moments_of_infinities<float>();
    products<double>();
    products<float>();
    ends_of_bins();
    histograms<double>();
    histograms<float>();
    events<double>();
    events<float>();
}
