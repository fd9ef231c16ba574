// One number that every machine with fused multiply-add must reproduce: a hash over all records of a set of runs, to the bit.
#include "check.hpp"
#include "runs.hpp"
#include "trainings/trainings.hpp"

namespace {

// Found on AVX2 and on AVX-512. A change of the arithmetic on purpose writes the new numbers here,
// and notes it in the changelog.
constexpr std::uint64_t recorded = 0x04852cf13e8d9b04, recorded_of_penalties = 0x40bc476dfd35a22b, recorded_of_parametrisations = 0x7dcf49a56935f682,
                        recorded_of_targets = 0x23ed526122e56071, recorded_of_pre_activations = 0x53111348f0d4197a;

std::uint64_t total = 0xcbf29ce484222325;
int trained = 0;

template <class T>
std::uint64_t bits(const runs::Setting& setting) {
    runs::Outcome<T> outcome(setting);
    shoal::train(outcome.run, outcome.method, 2, [](std::int64_t) {});
    ++trained;
    return outcome.hash();
}

void add(const char* name, const std::vector<runs::Setting>& settings) {
    std::uint64_t sum = 0xcbf29ce484222325;
    for (const runs::Setting& setting : settings)
        for (const std::uint64_t hash : {bits<double>(setting), bits<float>(setting)}) sum = (sum ^ hash) * 0x100000001b3;
    std::printf("%-24s %016llx\n", name, static_cast<unsigned long long>(sum));
    total = (total ^ sum) * 0x100000001b3;
}

void check_total([[maybe_unused]] std::uint64_t expected) {
    std::printf("%d runs, " SHOAL_ISA ": %016llx\n", trained, static_cast<unsigned long long>(total));
#if defined(__FMA__) || defined(__aarch64__)
    CHECK(total == expected, "%016llx, recorded %016llx", static_cast<unsigned long long>(total), static_cast<unsigned long long>(expected));
#endif
}

}  // namespace

void run_tests() {
    const auto add_activation = [](const char* activation) {
        std::vector<runs::Setting> one_output, classes;
        for (const bool bias : {false, true}) {
            for (const char* loss : {"cross_entropy", "hinge", "squared_hinge", "exponential", "squared"})
                for (const auto& widths : std::vector<std::vector<int>>{{3, 1}, {3, 5, 1}, {3, 6, 4, 1}})
                    one_output.push_back({widths, activation, loss, bias});
            for (const auto& widths : std::vector<std::vector<int>>{{3, 4}, {3, 5, 3}, {3, 6, 4, 3}})
                classes.push_back({widths, activation, "cross_entropy", bias});
        }
        add((std::string(activation) + ", one output").c_str(), one_output);
        add((std::string(activation) + ", classes").c_str(), classes);
    };
    for (const char* activation : {"relu", "leaky_relu", "linear", "tanh", "softplus"}) add_activation(activation);
    std::vector<runs::Setting> starts, sizes;
    for (const auto kind : {shoal::StartKind::balanced, shoal::StartKind::separated}) starts.push_back({{4, 7, 1}, "relu", "hinge", false, kind});
    for (const int samples : {1, 33, 300}) {  // one block of samples, and several
        runs::Setting one_layer{{11, 13, 1}, "relu", "cross_entropy", true}, two_layers{{11, 13, 9, 1}, "tanh", "squared", true};
        runs::Setting tiny{{2, 4, 1}, "relu", "cross_entropy", false};  // packs with several registers per number
        tiny.networks = 70;
        for (runs::Setting* s : {&one_layer, &two_layers, &tiny}) s->samples = samples, sizes.push_back(*s);
    }
    runs::Setting diverging{{3, 5, 1}, "relu", "squared", true};
    diverging.rate = 40.0, diverging.steps = 300, diverging.record_steps = {0, 100, 300};
    add("starts", starts);
    add("sizes", sizes);
    add("diverging", {diverging});
    check_total(recorded);

    total = 0xcbf29ce484222325;
    for (const char* activation : {"relu", "leaky_relu", "tanh"}) {
        std::vector<runs::Setting> penalised;
        for (const shoal::Penalty penalty : {shoal::Penalty{0.0625, 0.0}, shoal::Penalty{0.0, 0.125}, shoal::Penalty{0.0625, 0.125}})
            for (const auto& [widths, loss] : std::vector<std::pair<std::vector<int>, const char*>>{
                     {{3, 1}, "hinge"}, {{3, 5, 1}, "squared_hinge"}, {{3, 6, 4, 1}, "cross_entropy"}, {{3, 6, 4}, "cross_entropy"}}) {
                runs::Setting setting{widths, activation, loss, true};
                setting.penalty = penalty, setting.test_samples = 70;
                penalised.push_back(setting);
            }
        add((std::string(activation) + ", penalties").c_str(), penalised);
    }
    check_total(recorded_of_penalties);

    total = 0xcbf29ce484222325;
    for (const char* activation : {"relu", "leaky_relu", "tanh"}) {
        std::vector<runs::Setting> parametrised;
        for (const bool centred : {false, true})
            for (const auto& [widths, loss] : std::vector<std::pair<std::vector<int>, const char*>>{
                     {{3, 1}, "squared"}, {{3, 5, 1}, "hinge"}, {{3, 6, 4, 1}, "cross_entropy"}, {{3, 6, 4}, "cross_entropy"}})
                for (const double decay : {0.0, 0.0625}) {
                    runs::Setting setting{widths, activation, loss, true, shoal::StartKind::balanced};
                    setting.penalty.weight_decay = decay, setting.test_samples = 70, setting.centred = centred;
                    for (std::size_t l = 0; l + 1 < widths.size(); ++l) setting.scales.push_back(0.3 + l), setting.rates.push_back(1.7 - 0.6 * l);
                    parametrised.push_back(setting);
                }
        add((std::string(activation) + ", parametrisations").c_str(), parametrised);
    }
    check_total(recorded_of_parametrisations);

    total = 0xcbf29ce484222325;
    for (const char* activation : {"relu", "leaky_relu", "tanh"}) {
        std::vector<runs::Setting> targets;
        for (const shoal::Penalty penalty : {shoal::Penalty{}, shoal::Penalty{0.0625, 0.125}})
            for (const auto& widths : std::vector<std::vector<int>>{{3, 1}, {3, 5, 1}, {3, 6, 4, 1}, {3, 5, 3}})
                for (const bool regression : {false, true}) {
                    runs::Setting setting{widths, activation, "squared", true};
                    setting.penalty = penalty, setting.test_samples = 70, setting.regression = regression;
                    targets.push_back(setting);
                }
        add((std::string(activation) + ", targets").c_str(), targets);
    }
    check_total(recorded_of_targets);

    total = 0xcbf29ce484222325;
    for (const char* activation : {"erf", "quadratic"}) add_activation(activation);
    check_total(recorded_of_pre_activations);
}
