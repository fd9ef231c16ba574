// The pairs of pairs.hpp: their orders, by an equation with a known solution and steps of decreasing length, at the end of a step, within it, and of the errors
// that they estimate.
#include "shoal/pairs.hpp"

#include "check.hpp"

#include <algorithm>
#include <cmath>

namespace {

using V = shoal::Lanes<double>;

// x' = -x^2 cos t with x(0) = 1: x = 1 / (1 + sin t). Time is the second number.
struct State {
    double x, t;
};
State slope(State s) { return {-s.x * s.x * std::cos(s.t), 1.0}; }
double solution(double t) { return 1 / (1 + std::sin(t)); }

double first_lane(V value) {
    alignas(64) double numbers[V::count];
    value.store(numbers);
    return numbers[0];
}

struct Step {
    double end, within, at_end, error[2] = {};  // distances from the solution, at its end and at most within; of the extension's end from the step's
};

Step step(const shoal::Pair& pair, double h) {
    constexpr double begin = 0.3;
    const State from{solution(begin), begin};
    State k[shoal::Pair::most_slopes];
    const auto moved = [&](const shoal::Terms& terms) {
        State to = from;
        for (const auto [j, weight] : terms) to.x += h * weight * k[j].x, to.t += h * weight * k[j].t;
        return to;
    };
    for (int j = 0; j <= pair.very_last(); ++j) k[j] = slope(moved(pair.stage(j)));
    const State end = moved(pair.stage(pair.last()));
    Step found{std::abs(end.x - solution(begin + h)), 0, 0};
    CHECK(std::abs(end.t - begin - h) < 1e-14 * h + 1e-15, "time %g", end.t);
    for (std::size_t part = 0; part < pair.errors().size(); ++part) found.error[part] = std::abs(moved(pair.errors()[part]).x - from.x);
    for (int i = 0; i <= 16; ++i) {
        const double x = i / 16.0;
        V weights[shoal::Pair::most_slopes];
        pair.weights_within(V(x), V(h), weights);
        double sum = from.x;
        for (int j = 0; j <= pair.very_last(); ++j) {
            sum += first_lane(weights[j]) * k[j].x;
            CHECK(pair.matters_within(j) || first_lane(weights[j]) == 0, "slope %d", j);
        }
        found.within = std::max(found.within, std::abs(sum - solution(begin + x * h)));
        if (i == 16) found.at_end = std::abs(sum - end.x);
    }
    return found;
}

// The power of h with which a distance falls from one length of the step to its half.
double power(double longer, double shorter) { return std::log2(longer / shorter); }

// Checks that distances fall at least like these powers of h, less half of one: lengths are not short enough for more, and rounding ends what is shorter.
void check(const shoal::Pair& pair, double end, double within, double error) {
    const Step longest = step(pair, 0.28), longer = step(pair, 0.14), shorter = step(pair, 0.07);
    const auto estimate = [&](const Step& of) { return pair.error(of.error[0], of.error[1]); };
    CHECK(power(longest.end, longer.end) > end - 0.5, "end: %g", power(longest.end, longer.end));
    CHECK(power(longer.within, shorter.within) > within - 0.5, "within: %g", power(longer.within, shorter.within));
    CHECK(power(estimate(longest), estimate(longer)) > error - 0.5, "error: %g", power(estimate(longest), estimate(longer)));
    for (const Step& one : {longest, longer, shorter}) {
        CHECK(one.at_end < 1e-15, "the extension does not meet the end: %g", one.at_end);
        CHECK(estimate(one) > one.end, "the error %g is below the distance %g", estimate(one), one.end);
    }
}

}  // namespace

void run_tests() {
    // A step of order p is off by h^(p+1), and so are an extension of order p and the estimate for a method of order p.
    for (const bool has_kinks : {true, false}) check(shoal::Pair(has_kinks, has_kinks ? 1e-10 : 1e-6), 6, 5, 5);
    check(shoal::Pair(false, 1e-7), 9, 8, 8);
    CHECK(shoal::Pair(true, 1e-10).order() == 5 && shoal::Pair(false, 1.1e-7).order() == 5 && shoal::Pair(false, 1e-7).order() == 8, "the choice");
    const shoal::Pair high(false, 1e-8);
    CHECK(high.error(0, 1) == 0 && high.error(2, 0) == 2 && std::abs(high.error(3, 40) - 9 / std::sqrt(9 + 16.0)) < 1e-15, "the error of two");
    CHECK(std::isnan(high.error(std::nan(""), 1)) && std::isinf(high.error(INFINITY, 1)), "not finite");
}
