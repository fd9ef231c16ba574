// The instances of shapes.hpp give the same bits as the general passes, and all cache sizes the same bits as each other: outputs, gates and slopes of one
// gradient, and everything that whole trainings write.
#include "check.hpp"
#include "runs.hpp"
#include "trainings/trainings.hpp"

#include <cstring>

namespace {

using namespace shoal;

const Tuning general{32 * 1024, 512 * 1024, false}, fixed{32 * 1024, 512 * 1024, true};

// All numbers that one gradient pass gives, to compare bit by bit.
template <AnyLanes V>
std::vector<typename V::Scalar> gradient_of(const runs::Setting& setting, const Tuning& tuning, bool& taken) {
    using T = typename V::Scalar;
    runs::Setting other = setting;
    other.networks = V::count;
    const runs::Outcome<T> outcome(other);
    const Run<T>& run = outcome.run;
    Gradient<V> gradient(run.network, run.task, run.loss, run.penalty, tuning);
    taken = gradient.fixed();
    Pack<V> parameters(run.network.parameters);
    for (int lane = 0; lane < V::count; ++lane)
        for (int n = 0; n < run.network.parameters; ++n) {
            std::uint32_t number = std::uint32_t(n * 131 + lane * 17 + 1) * 2654435761u;
            parameters.lane(n, lane) = T(double(number >> 8) * 0x1p-23 - 1.0);
        }
    std::vector<T> numbers;
    const auto keep = [&](V value) {
        alignas(64) T lanes[V::count];
        value.store(lanes);
        numbers.insert(numbers.end(), lanes, lanes + V::count);
    };
    const auto see = [&](int, int count, const Gradient<V>& pass) {
        for (int s = 0; s < count; ++s) {
            keep(pass.output(s, 0));
            for (int unit = 0; unit < run.network.last_hidden().outputs; ++unit) keep(pass.active(0, s, unit));
        }
        return true;
    };
    std::vector<std::pair<int, V>> slopes;
    struct Take {
        std::vector<std::pair<int, V>>* slopes;
        void operator()(int number, V, V slope) { slopes->emplace_back(number, slope); }
    } take{&slopes};
    CHECK(gradient(parameters, see, take), "a gradient was left undone");
    for (const auto& [number, slope] : slopes) numbers.push_back(T(number)), keep(slope);
    return numbers;
}

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <AnyLanes V>
int every_shape() {
    int tested = 0;
    for (const Shape& shape : fixed_shapes)
        for (const bool bias : {false, true})
            for (const char* loss : {"cross_entropy", "hinge"})
                for (const int samples : {1, 2, 3, 4, 5, 7, 8, 50, 311}) {
                    runs::Setting setting{{shape.inputs, shape.units, 1}, "relu", loss, bias};
                    setting.samples = samples;
                    bool taken, passed_over;
                    const auto numbers = gradient_of<V>(setting, fixed, taken), expected = gradient_of<V>(setting, general, passed_over);
                    CHECK(taken == tiles::has_fixed<V>(shape) && !passed_over, "%d-%d-1: %d, %d", shape.inputs, shape.units, taken, passed_over);
                    CHECK(same(numbers, expected), "%d-%d-1, %s, %d samples, bias %d, %d registers of %zu bytes a number", shape.inputs, shape.units, loss,
                          samples, bias, V::registers, sizeof(typename V::Scalar));
                    tested += taken;
                }
    return tested;
}

// Networks of another form than one layer of ReLUs and one output, or of other sizes, take the general passes.
void others_are_general() {
    const Shape shape = fixed_shapes[0];
    const auto taken = [](const std::vector<int>& widths, Activation phi) { return fixed_shape<Lanes<double>>(Network(widths, phi, 0.25, false)) >= 0; };
    CHECK(taken({shape.inputs, shape.units, 1}, Relu()), "the first shape is not found");
    for (const Activation phi : {Activation(LeakyRelu()), Activation(Linear()), Activation(Tanh()), Activation(Softplus())})
        CHECK(!taken({shape.inputs, shape.units, 1}, phi), "%s takes a fixed shape", phi.name());
    for (const auto& widths : std::vector<std::vector<int>>{{shape.inputs, shape.units, 2}, {shape.inputs, shape.units, shape.units, 1}, {41, 43, 1}, {3, 1}})
        CHECK(!taken(widths, Relu()), "a network of %zu layers takes a fixed shape", widths.size() - 1);
}

// Whole trainings: with blocks of 8 samples, of many, and of the size for this machine; in lanes, and of networks that train alone.
template <class T>
void any_caches() {
    std::vector<runs::Setting> settings{{{5, 9, 1}, "relu", "hinge", true},
                                        {{5, 9, 7, 1}, "tanh", "squared", true},
                                        {{5, 9, 3}, "softplus", "cross_entropy", true},
                                        {{2, 4, 1}, "relu", "exponential", false},
                                        {{5, 9, 4, 1}, "relu", "cross_entropy", false}};
    for (runs::Setting& setting : settings) {
        setting.samples = 333, setting.test_samples = 270, setting.networks = 70;
        for (const Engine engine : {Engine::lanes, Engine::alone}) {
            const auto hash = [&](const Tuning& tuning) {
                runs::Setting own = setting;
                if (engine == Engine::alone) own.networks = 2;
                runs::Outcome<T> outcome(own);
                outcome.run.tuning = tuning;
                train(outcome.run, outcome.method, engine, 1, [](std::int64_t) {});
                return outcome.hash();
            };
            const std::uint64_t expected = hash(Tuning::of_this_machine());
            for (const Tuning& tuning : {Tuning{1024, 1024}, Tuning{16 * 1024, 128 * 1024}, Tuning{48 * 1024, 2 * 1024 * 1024}, Tuning{1 << 30, 1 << 30}})
                CHECK(hash(tuning) == expected, "%s, %zu layers: other bits with caches of %lld and %lld bytes", setting.activation.c_str(),
                      setting.widths.size() - 1, static_cast<long long>(tuning.nearest_cache), static_cast<long long>(tuning.second_cache));
        }
    }
}

}  // namespace

void run_tests() {
    std::printf("%d gradients of fixed shapes\n", every_shape<Lanes<double>>() + every_shape<Lanes<float>>() + every_shape<Lanes<double, tiny_registers>>() +
                                                      every_shape<Lanes<float, tiny_registers>>());
    others_are_general();
    any_caches<double>();
    any_caches<float>();
}
