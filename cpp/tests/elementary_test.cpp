// The error of every elementary function over its whole range, in ulp of the exact result (long double), and its edge cases. The bounds are those that
// elementary.hpp states; the largest errors stay below them with sixteen times as many points, too.
#include "shoal/elementary.hpp"
#include "check.hpp"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

namespace {

using Exact = long double;

template <class T>
constexpr T infinity = std::numeric_limits<T>::infinity();

// |value - exact| in ulp of T at `exact`, subnormals included. Overflow to infinity is correct if exact rounds to infinity.
template <class T>
double error_in_ulp(T value, Exact exact) {
    using Limits = std::numeric_limits<T>;
    const int exponent = exact == 0 ? Limits::min_exponent - 1 : std::max(std::ilogb(exact), Limits::min_exponent - 1);
    const Exact ulp = std::ldexp(Exact(1), std::min(exponent, Limits::max_exponent - 1) - Limits::digits + 1);
    if (std::isnan(value) || std::isnan(exact)) return std::isnan(value) && std::isnan(exact) ? 0.0 : infinity<double>;
    if (std::isinf(value)) return exact * (value > 0 ? 1 : -1) > Limits::max() ? 0.0 : infinity<double>;
    return double(std::abs(value - std::clamp(exact, -2 * Exact(Limits::max()), 2 * Exact(Limits::max()))) / ulp);
}

// xorshift64*: the same points on every machine.
struct Points {
    std::uint64_t state = 0x9e3779b97f4a7c15;
    std::uint64_t bits() {
        state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
        return state * 0x2545f4914f6cdd1d;
    }
    double unit() { return double(bits() >> 11) * 0x1p-53; }
};

// What sanitizers look for depends on the kind of an argument, not on how many there are.
#ifdef __SANITIZE_ADDRESS__
constexpr int fewer = 33;
#else
constexpr int fewer = 1;
#endif

// Arguments in [low, high]: uniform ones, ones uniform in the logarithm, random bit patterns, and neighbours of the ends and of `near`.
template <class T>
std::vector<T> arguments(T low, T high, std::vector<T> near) {
    using Integer = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
    constexpr int each = (1 << 19) / fewer;
    std::vector<T> all;
    const auto add = [&](T x) {
        if (x >= low && x <= high) all.push_back(x);
    };
    Points points;
    const double log_least = std::log2(std::numeric_limits<T>::denorm_min()), log_most = std::log2(std::max(std::abs(low), std::abs(high)));
    const T from = std::max(low, T(-1e30)), to = std::min(high, T(1e30));
    for (int i = 0; i < each; ++i) {
        add(T(from + (to - from) * points.unit()));
        add(T(low < 0 && points.bits() & 1 ? -1 : 1) * T(std::exp2(log_least + (log_most - log_least) * points.unit())));
        add(T(low < 0 && points.bits() & 1 ? -1 : 1) * T(std::exp2(12 * points.unit() - 8)));  // where the functions change most
        add(std::bit_cast<T>(Integer(points.bits())));
    }
    for (const T centre : {low, high, T(0), std::numeric_limits<T>::min(), T(std::numbers::ln2 / 2), T(std::numbers::sqrt2 / 2)}) near.push_back(centre);
    for (const T centre : near) {
        T up = centre, down = centre;
        for (int steps = 0; steps < 8; ++steps) {
            add(up), add(down), add(-up), add(-down);
            up = std::nextafter(up, infinity<T>), down = std::nextafter(down, -infinity<T>);
        }
    }
    return all;
}

// Folds the bits of a value into a hash, to compare with that of another machine.
void fold(std::uint64_t& hash, auto value) {
    const double wide = std::isnan(value) ? 0.0 : double(value);
    hash = (hash ^ std::bit_cast<std::uint64_t>(wide)) * 0x100000001b3;
}

// Compares function(lanes) with exact(x) for x in [low, high]: no error may exceed `bound` ulp.
template <class T, class Function, class Reference>
void measure(const char* name, T low, T high, std::vector<T> near, double bound, Function function, Reference exact) {
    using V = shoal::Lanes<T>;
    auto x = arguments(low, high, std::move(near));
    const std::size_t count = x.size();
    x.resize((count + V::count - 1) / V::count * V::count, x.front());
    double worst = 0.0;
    T where = 0;
    std::uint64_t hash = 0xcbf29ce484222325;
    for (std::size_t first = 0; first < count; first += V::count) {
        alignas(64) T in[V::count], out[V::count];
        std::copy_n(x.data() + first, V::count, in);
        function(V::load(in)).store(out);
        for (std::size_t lane = 0; lane < std::min<std::size_t>(V::count, count - first); ++lane) {
            const double error = error_in_ulp(out[lane], exact(Exact(in[lane])));
            if (error > worst) worst = error, where = in[lane];
            fold(hash, out[lane]);
        }
    }
    std::printf("%-14s %s %9zu points  %.4f ulp at %.17g  hash %016llx\n", name, sizeof(T) == 8 ? "double" : "float ", count, worst, double(where),
                static_cast<unsigned long long>(hash));
    CHECK(worst <= bound, "%s: %.4f ulp at %a, allowed %.2f", name, worst, double(where), bound);
}

// Returns the function's value for one number.
template <class T, class Function>
T at(Function function, T x) {
    alignas(64) T out[shoal::Lanes<T>::count];
    function(shoal::Lanes<T>(x)).store(out);
    return out[0];
}

#define ON_LANES(function) [](auto x) { return shoal::function(x); }

#if defined(__FMA__) || defined(__aarch64__)
constexpr double tanh_bound = 1.9, erf_bound = 1.2, erf_slope_bound = 1.6;
#else
constexpr double tanh_bound = 2.1, erf_bound = 1.3, erf_slope_bound = 1.9;
#endif

// The square of a number of 32 bits is exact, so that no rounding comes into the exponent.
Exact erf_slope(Exact x) {
    const Exact high = std::round(x * 0x1p26L) * 0x1p-26L, rest = (x - high) * (x + high);
    return 2 / std::sqrt(std::numbers::pi_v<Exact>) * std::exp(-high * high) * std::exp(-rest);
}

template <class T>
void accuracy() {
    const T most = std::numeric_limits<T>::max(), least = std::numeric_limits<T>::min();
    const T log_most = T(std::log(Exact(most))), log_least = T(std::log(Exact(std::numeric_limits<T>::denorm_min())));
    const T saturates = -shoal::Constants<T>::exp_lowest_normal, flat = shoal::Constants<T>::tanh_highest, end = T(sizeof(T) == 8 ? 709 : 88);
    const auto abs_exp = [](Exact x) { return std::exp(-std::abs(x)); };
    measure<T>("exp", -most, most, {log_most, log_least}, 1.1, ON_LANES(exp), [](Exact x) { return std::exp(x); });
    measure<T>("exp_minus_abs", -saturates, saturates, {}, 1.1, ON_LANES(exp_minus_abs), abs_exp);
    measure<T>("expm1", -most, end, {T(-40)}, 2.2, ON_LANES(expm1), [](Exact x) { return std::expm1(x); });
    measure<T>("log", least, most, {T(1)}, 1.3, ON_LANES(log), [](Exact x) { return std::log(x); });
    measure<T>("log1p", T(0), most, {T(1), std::numeric_limits<T>::epsilon()}, 1.3, ON_LANES(log1p), [](Exact x) { return std::log1p(x); });
    measure<T>("tanh", -most, most, {T(1), flat}, tanh_bound, ON_LANES(tanh), [](Exact x) { return std::tanh(x); });
    const T edge = shoal::Constants<T>::erf_edge, steep = shoal::Constants<T>::erf_slope_highest;
    measure<T>("erf", -most, most, {edge, shoal::Constants<T>::erf_highest}, erf_bound, ON_LANES(erf), [](Exact x) { return std::erf(x); });
    measure<T>("erf_slope", -steep, steep, {}, erf_slope_bound, ON_LANES(erf_slope), erf_slope);
}

// Likewise for every 31st float from `low` to `high`, both of one sign, with double precision as reference. docs/kernels.md states the largest errors over
// every float (which takes minutes).
template <class Function, class Reference>
void measure_floats(const char* name, float low, float high, double bound, Function function, Reference exact) {
    using V = shoal::Lanes<float>;
    constexpr std::uint32_t stride = 31 * fewer;
    const std::uint32_t last = std::bit_cast<std::uint32_t>(high);
    double worst = 0.0;
    float where = 0;
    for (std::uint32_t bits = std::bit_cast<std::uint32_t>(low); bits <= last; bits += stride * V::count) {
        alignas(64) float in[V::count], out[V::count];
        for (int lane = 0; lane < V::count; ++lane) in[lane] = std::bit_cast<float>(std::min(bits + stride * lane, last));
        function(V::load(in)).store(out);
        for (int lane = 0; lane < V::count; ++lane) {
            const double error = error_in_ulp(out[lane], Exact(exact(double(in[lane]))));
            if (error > worst) worst = error, where = in[lane];
        }
    }
    std::printf("%-14s floats from %g to %g: %.4f ulp at %.9g\n", name, low, high, worst, where);
    CHECK(worst <= bound, "%s: %.4f ulp at %a, allowed %.2f", name, worst, double(where), bound);
}

// Below 2^-30 the functions are 1 + x or x to the last bit.
void accuracy_of_floats() {
    const float small = 0x1p-30f, most = std::numeric_limits<float>::max();
    measure_floats("exp", small, 90.0f, 1.1, ON_LANES(exp), [](double x) { return std::exp(x); });
    measure_floats("exp", -small, -110.0f, 1.1, ON_LANES(exp), [](double x) { return std::exp(x); });
    measure_floats("exp_minus_abs", small, 87.0f, 1.1, ON_LANES(exp_minus_abs), [](double x) { return std::exp(-x); });
    measure_floats("expm1", small, 88.0f, 2.2, ON_LANES(expm1), [](double x) { return std::expm1(x); });
    measure_floats("expm1", -small, -50.0f, 2.2, ON_LANES(expm1), [](double x) { return std::expm1(x); });
    measure_floats("log", std::numeric_limits<float>::min(), most, 1.3, ON_LANES(log), [](double x) { return std::log(x); });
    measure_floats("log1p", small, most, 1.3, ON_LANES(log1p), [](double x) { return std::log1p(x); });
    measure_floats("tanh", small, 11.0f, tanh_bound, ON_LANES(tanh), [](double x) { return std::tanh(x); });
    measure_floats("erf", small, 5.0f, erf_bound, ON_LANES(erf), [](double x) { return std::erf(x); });
    measure_floats("erf_slope", small, shoal::Constants<float>::erf_slope_highest, erf_slope_bound, ON_LANES(erf_slope),
                   [](double x) { return 2 / std::sqrt(std::numbers::pi) * std::exp(-x * x); });
}

// sin and cos of 2 pi u on the numbers that random.hpp makes, multiples of 2^-53. Quarter turns are subtracted exactly before libm gets the angle.
void accuracy_of_turns() {
    using V = shoal::Lanes<double>;
    const auto sine = [](V u) {
        V s, c;
        shoal::sincos_turn(u, s, c);
        return s;
    };
    const auto cosine = [](V u) {
        V s, c;
        shoal::sincos_turn(u, s, c);
        return c;
    };
    const auto exact = [](Exact u, int quarters_ahead) {
        const Exact nearest = std::round(4 * u), angle = (4 * u - nearest) * (std::numbers::pi_v<Exact> / 2);
        const int quadrant = (int(nearest) + quarters_ahead) & 3;
        const Exact value = quadrant & 1 ? std::cos(angle) : std::sin(angle);
        return quadrant & 2 ? -value : value;
    };
    const double last = 1 - 0x1p-53;
    measure<double>("sin of turns", 0.0, last, {0.125, 0.25, 0.5, 0.75, 0.875}, 1.6, sine, [&](Exact u) { return exact(u, 0); });
    measure<double>("cos of turns", 0.0, last, {0.125, 0.25, 0.5, 0.75, 0.875}, 1.6, cosine, [&](Exact u) { return exact(u, 1); });
}

template <class T>
void edges() {
    const T inf = infinity<T>, nan = std::numeric_limits<T>::quiet_NaN(), tiny = std::numeric_limits<T>::denorm_min();
    struct {
        const char* name;
        T got, expected;
    } const cases[] = {
        {"exp(0)", at(ON_LANES(exp), T(0)), 1},
        {"exp(-0)", at(ON_LANES(exp), -T(0)), 1},
        {"exp(inf)", at(ON_LANES(exp), inf), inf},
        {"exp(-inf)", at(ON_LANES(exp), -inf), 0},
        {"exp(subnormal)", at(ON_LANES(exp), tiny), 1},
        {"exp_minus_abs(0)", at(ON_LANES(exp_minus_abs), T(0)), 1},
        {"exp_minus_abs(-0)", at(ON_LANES(exp_minus_abs), -T(0)), 1},
        {"exp_minus_abs(-inf) saturates", at(ON_LANES(exp_minus_abs), -inf), at(ON_LANES(exp_minus_abs), -shoal::Constants<T>::exp_lowest_normal)},
        {"exp_minus_abs(inf) saturates", at(ON_LANES(exp_minus_abs), inf), at(ON_LANES(exp_minus_abs), -shoal::Constants<T>::exp_lowest_normal)},
        {"expm1(0)", at(ON_LANES(expm1), T(0)), 0},
        {"expm1(-0)", at(ON_LANES(expm1), -T(0)), 0},
        {"expm1(subnormal)", at(ON_LANES(expm1), tiny), tiny},
        {"expm1(-inf)", at(ON_LANES(expm1), -inf), -1},
        {"log(1)", at(ON_LANES(log), T(1)), 0},
        {"log1p(0)", at(ON_LANES(log1p), T(0)), 0},
        {"log1p(subnormal)", at(ON_LANES(log1p), tiny), tiny},
        {"tanh(0)", at(ON_LANES(tanh), T(0)), 0},
        {"tanh(-0)", at(ON_LANES(tanh), -T(0)), 0},
        {"tanh(subnormal)", at(ON_LANES(tanh), -tiny), -tiny},
        {"tanh(inf)", at(ON_LANES(tanh), inf), 1},
        {"tanh(-inf)", at(ON_LANES(tanh), -inf), -1},
        {"1/tanh(-0)", 1 / at(ON_LANES(tanh), -T(0)), -inf},
        {"erf(0)", at(ON_LANES(erf), T(0)), 0},
        {"1/erf(-0)", 1 / at(ON_LANES(erf), -T(0)), -inf},
        {"erf(subnormal)", at(ON_LANES(erf), -tiny), -tiny},
        {"erf(inf)", at(ON_LANES(erf), inf), 1},
        {"erf(-inf)", at(ON_LANES(erf), -inf), -1},
        {"erf is odd", at(ON_LANES(erf), T(-0.7)), -at(ON_LANES(erf), T(0.7))},
        {"erf is odd", at(ON_LANES(erf), T(-1.7)), -at(ON_LANES(erf), T(1.7))},
        {"erf_slope is even", at(ON_LANES(erf_slope), T(-0.7)), at(ON_LANES(erf_slope), T(0.7))},
        {"erf_slope(0)", at(ON_LANES(erf_slope), T(0)), T(2 / std::sqrt(std::numbers::pi_v<Exact>))},
        {"erf_slope(-inf) saturates", at(ON_LANES(erf_slope), -inf), at(ON_LANES(erf_slope), shoal::Constants<T>::erf_slope_highest)},
        {"tanh is odd", at(ON_LANES(tanh), T(-0.7)), -at(ON_LANES(tanh), T(0.7))},
    };
    for (const auto& c : cases) CHECK(c.got == c.expected, "%s is %.17g, not %.17g", c.name, double(c.got), double(c.expected));
    const std::pair<const char*, T> not_numbers[] = {{"exp", at(ON_LANES(exp), nan)},
                                                     {"exp_minus_abs", at(ON_LANES(exp_minus_abs), nan)},
                                                     {"expm1", at(ON_LANES(expm1), nan)},
                                                     {"log1p", at(ON_LANES(log1p), nan)},
                                                     {"tanh", at(ON_LANES(tanh), nan)},
                                                     {"erf", at(ON_LANES(erf), nan)},
                                                     {"erf_slope", at(ON_LANES(erf_slope), nan)}};
    for (const auto& [name, got] : not_numbers) CHECK(std::isnan(got), "%s(NaN) is %.17g", name, double(got));
}

}  // namespace

void run_tests() {
    static_assert(std::numeric_limits<Exact>::digits >= 64, "no reference: long double is no longer than double");
    accuracy<double>();
    accuracy_of_turns();
    accuracy<float>();
    accuracy_of_floats();
    edges<double>();
    edges<float>();
}
