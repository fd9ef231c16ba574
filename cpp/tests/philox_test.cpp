// The draws: known answers of Philox 4x32-10, and normal draws that depend on (seed, network, tensor, element) alone.
#include "check.hpp"
#include "shoal/random.hpp"

#include <cstring>
#include <numbers>
#include <set>
#include <vector>

namespace {

using Key = std::array<std::uint32_t, 2>;
using shoal::Counter;

// tests/kat_vectors of Random123 1.14: all bits 0, all bits 1, and the digits of pi.
void known_answers() {
    struct {
        Counter counter;
        Key key;
        Counter answer;
    } const vectors[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (const auto& v : vectors) {
        const Counter drawn = shoal::philox(v.counter, v.key);
        CHECK(drawn == v.answer, "key %08x %08x gives %08x %08x %08x %08x", v.key[0], v.key[1], drawn[0], drawn[1], drawn[2], drawn[3]);
    }
}

std::vector<double> draw(std::uint64_t seed, std::uint64_t network, std::uint32_t tensor, std::int64_t count) {
    std::vector<double> numbers(count + 1, -77.0);
    shoal::draw_normals(seed, network, tensor, count, numbers.data());
    CHECK(numbers[count] == -77.0, "drawing %lld numbers writes one more", static_cast<long long>(count));
    numbers.pop_back();
    return numbers;
}

void as_many_as_asked() {
    const auto all = draw(7, 11, 2, 200);
    for (int count = 0; count < 200; ++count) {
        const auto some = draw(7, 11, 2, count);
        CHECK(std::memcmp(some.data(), all.data(), count * sizeof(double)) == 0, "%d draws are not the first of 200", count);
    }
}

// Every bit of seed, network and tensor matters: no two of these streams share a number.
void every_bit_of_the_key() {
    std::set<double> seen;
    std::size_t drawn = 0;
    const auto add = [&](std::uint64_t seed, std::uint64_t network, std::uint32_t tensor) {
        for (const double x : draw(seed, network, tensor, 8)) seen.insert(x), ++drawn;
    };
    add(0, 0, 0);
    for (int bit = 0; bit < 64; ++bit) add(1ull << bit, 0, 0), add(0, 1ull << bit, 0);
    for (int bit = 0; bit < 32; ++bit) add(0, 0, 1u << bit);
    CHECK(seen.size() == drawn, "%zu different numbers among %zu", seen.size(), drawn);
}

// Box-Muller from the same words in extended precision. The radius may be off by a few ulp where the logarithm is near 0.
void box_muller() {
    double worst = 0.0;
    for (std::uint64_t network = 0; network < 2000; ++network) {
        const auto numbers = draw(3, network, 1, 32);
        for (std::uint32_t pair = 0; pair < 16; ++pair) {
            const Counter w = shoal::philox({std::uint32_t(network), 0, 1, pair}, {3, 0});
            const long double radius = static_cast<long double>((std::uint64_t(w[0]) << 21 | w[1] >> 11) + 1) * 0x1p-53L;
            const long double turn = static_cast<long double>(std::uint64_t(w[2]) << 21 | w[3] >> 11) * 0x1p-53L;
            const long double r = std::sqrt(-2 * std::log(radius)), angle = 2 * std::numbers::pi_v<long double> * turn;
            worst = std::max(
                {worst, std::abs(double((numbers[2 * pair] - r * std::cos(angle)) / r)), std::abs(double((numbers[2 * pair + 1] - r * std::sin(angle)) / r))});
        }
    }
    std::printf("normal draws: off by at most %.2g of their radius\n", worst);
    CHECK(worst < 4 * 0x1p-53, "%.3g", worst);
}

// The first four moments of a million draws are within five standard errors of those of N(0, 1).
void moments() {
    const int networks = 10000, each = 100;
    double sum[5] = {};
    for (int network = 0; network < networks; ++network)
        for (const double x : draw(1, network, 0, each))
            for (int power = 1; power <= 4; ++power) sum[power] += std::pow(x, power);
    const double expected[] = {1, 0, 1, 0, 3}, variance[] = {0, 1, 2, 15, 96};
    for (int power = 1; power <= 4; ++power) {
        const double mean = sum[power] / (networks * each), error = std::sqrt(variance[power] / (networks * each));
        CHECK(std::abs(mean - expected[power]) < 5 * error, "moment %d is %.5f, not %.0f +- %.5f", power, mean, expected[power], error);
    }
}

}  // namespace

void run_tests() {
    known_answers();
    as_many_as_asked();
    every_bit_of_the_key();
    box_muller();
    moments();
}
