// Training as a whole: the same bits however the work is distributed, a prompt end if the caller or a worker fails, and no allocation during steps.
//
// Eigen's own allocations (of packs) are counted by its check for forbidden ones, all others by operator new.
#include <atomic>

namespace {
std::atomic<long> allocations{0};
}

#define EIGEN_RUNTIME_NO_MALLOC
#define eigen_assert(condition) ((condition) ? void() : void(++allocations))

#include "check.hpp"
#include "runs.hpp"

#include <chrono>
#include <cstdlib>
#include <new>
#include <set>
#include <stdexcept>

// Not inlined: else GCC would see a free of memory from new, and warn.
[[gnu::noinline]] void* operator new(std::size_t size) {
    ++allocations;
    if (void* const memory = std::malloc(size ? size : 1)) return memory;
    throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using runs::Outcome;
using runs::Setting;
using shoal::Lanes;

// Adds both penalties, test samples in several blocks, and every record.
Setting penalised(Setting setting) {
    setting.penalty = {0.0625, 0.125};
    setting.test_samples = 300;
    return setting;
}

// Adds scales and rates per layer and a centred output, with both penalties, test samples and every record.
Setting parametrised(Setting setting) {
    for (std::size_t l = 0; l + 1 < setting.widths.size(); ++l) {
        setting.scales.push_back(l % 2 ? 1.75 : 0.625);
        setting.rates.push_back(l % 2 ? 0.75 : 1.5);
    }
    setting.centred = true;
    return penalised(setting);
}

// ThreadSanitizer slows the flow most of all, and finds nothing with one thread.
#ifdef __SANITIZE_THREAD__
constexpr bool only_threads = true;
#else
constexpr bool only_threads = false;
#endif

// Made on first use, because main checks the CPU before anything else of this instruction set runs.
std::vector<Setting> settings() {
    std::vector<Setting> all{
        {{2, 4, 1}, "relu", "cross_entropy", true, shoal::StartKind::gaussian, 8, 67},
        {{5, 9, 1}, "leaky_relu", "hinge", true, shoal::StartKind::balanced, 40, 21},
        {{4, 7, 6, 3}, "tanh", "cross_entropy", true, shoal::StartKind::gaussian, 33, 21},
        {{6, 5, 5, 1}, "softplus", "squared", false, shoal::StartKind::gaussian, 5, 3},
        penalised({{3, 7, 1}, "relu", "squared_hinge", true, shoal::StartKind::gaussian, 9, 67}),
        penalised({{4, 6, 5, 1}, "tanh", "exponential", true, shoal::StartKind::gaussian, 33, 21}),
        penalised({{4, 6, 3}, "leaky_relu", "cross_entropy", false, shoal::StartKind::gaussian, 12, 21}),
        parametrised({{3, 7, 1}, "relu", "hinge", true, shoal::StartKind::gaussian, 9, 67}),
        parametrised({{4, 6, 5, 3}, "leaky_relu", "cross_entropy", true, shoal::StartKind::balanced, 33, 21}),
    };
    for (Setting& setting : all)
        if (only_threads) setting.steps = 12, setting.flow.until = 0.125, setting.flow.record_times = {0.0, 0.0625, 0.125};
    return all;
}

void ignore(std::int64_t) {}

// The method under test: descent in either precision, or the flow.
template <class T>
const auto& descent_of(const Outcome<T>& outcome) {
    return outcome.method;
}
const auto& flow_of(const Outcome<double>& outcome) { return outcome.flow; }

template <class T, class MethodOf>
void same_bits(MethodOf method_of) {
    for (const Setting& setting : settings()) {
        const auto trained = [&](int threads) {
            Outcome<T> outcome(setting);
            shoal::train(outcome.run, method_of(outcome), threads, ignore);
            return outcome.hash();
        };
        const std::uint64_t alone = trained(1);
        for (const int threads : {2, 5}) CHECK(trained(threads) == alone, "%s with %d threads", setting.activation.c_str(), threads);
        if (only_threads) continue;
        Outcome<T> narrow(setting), wide(setting);
        runs::train_with<Lanes<T, 1>>(narrow.run, method_of(narrow));
        runs::train_with<Lanes<T, 4>>(wide.run, method_of(wide));
        CHECK(narrow.hash() == alone && wide.hash() == alone, "%s with one register a number, and with four", setting.activation.c_str());
        CHECK(std::set<T>(narrow.arrays[0].begin(), narrow.arrays[0].end()).size() > std::size_t(setting.networks), "the losses hardly differ");
    }
}

// The numbers of a network depend neither on how many others are trained with it, nor on its place among them.
template <class T, class MethodOf>
void same_bits_alone(MethodOf method_of) {
    for (Setting setting : settings()) {
        Outcome<T> together(setting);
        shoal::train(together.run, method_of(together), 2, ignore);
        const std::int64_t networks = setting.networks;
        for (const std::int64_t chosen : {std::int64_t(0), networks / 2, networks - 1}) {
            setting.networks = 1, setting.first = settings()[0].first + chosen;
            Outcome<T> alone(setting);
            shoal::train(alone.run, method_of(alone), 1, ignore);
            for (std::size_t n = 0; n < alone.arrays.size(); ++n) {
                const std::size_t each = alone.arrays[n].size();
                const bool same = each == 0 || std::memcmp(alone.arrays[n].data(), together.arrays[n].data() + chosen * each, each * sizeof(T)) == 0;
                CHECK(same, "%s: array %zu of network %lld", setting.activation.c_str(), n, static_cast<long long>(chosen));
            }
            const std::int64_t each = alone.pattern_size;
            CHECK(std::equal(alone.pattern.get(), alone.pattern.get() + each, together.pattern.get() + chosen * each), "%s: pattern of network %lld",
                  setting.activation.c_str(), static_cast<long long>(chosen));
            CHECK(
                alone.status[0] == together.status[chosen] && alone.accepted[0] == together.accepted[chosen] && alone.rejected[0] == together.rejected[chosen],
                "%s: steps of network %lld", setting.activation.c_str(), static_cast<long long>(chosen));
        }
    }
}

// Networks that are done leave their lanes to others, which no record shows. Some meet all hinges, some diverge, some are centred.
template <class T>
void retiring_shows_in_nothing() {
    Setting hinge{{3, 5, 1}, "relu", "hinge", false, shoal::StartKind::gaussian, 6, 75, 400};
    Setting diverging{{3, 5, 1}, "relu", "squared", true, shoal::StartKind::gaussian, 6, 75, 400};
    diverging.rate = 2.0;
    for (Setting setting : {hinge, diverging, parametrised(hinge)}) {
        setting.penalty.weight_decay = 0;
        for (const std::vector<std::int64_t>& steps : {std::vector<std::int64_t>{0, 399, 400}, {100, 200, 300}, {1, 31, 33}}) {
            setting.record_steps = steps;
            Outcome<T> early(setting), late(setting), narrow(setting), wide(setting);
            late.method.retire = false;
            shoal::train(early.run, early.method, 2, ignore);
            shoal::train(late.run, late.method, 2, ignore);
            runs::train_with<Lanes<T, 1>>(narrow.run, narrow.method);
            runs::train_with<Lanes<T, 4>>(wide.run, wide.method);
            CHECK(early.hash() == late.hash() && narrow.hash() == late.hash() && wide.hash() == late.hash(), "%s, records from %lld on", setting.loss.c_str(),
                  static_cast<long long>(steps[0]));
        }
    }
}

// Samples whose hinge all networks of a pack meet are left out of the backward pass: by packs with one register per number, but not by packs with four.
template <class T>
void samples_left_out_change_nothing() {
    struct {
        const char* loss;
        int samples;
        double rate;
        int half;
    } const cases[] = {{"hinge", 40, 0.03125, 60}, {"squared_hinge", 40, 0.03125, 120}, {"hinge", 200, 0.375, 60}};  // the last one in several blocks
    for (const auto& [loss, samples, rate, half] : cases) {
        Setting setting{{50, 30, 1}, "relu", loss, true, shoal::StartKind::gaussian, samples, Lanes<T>::count};
        setting.steps = 2 * half, setting.record_steps = {0, half, 2 * half}, setting.rate = rate;
        Outcome<T> narrow(setting), wide(setting);
        runs::train_with<Lanes<T, 1>>(narrow.run, narrow.method);
        runs::train_with<Lanes<T, 4>>(wide.run, wide.method);
        CHECK(narrow.hash() == wide.hash(), "%s, %d samples", loss, samples);
        int met = 0;
        for (int s = 0; s < samples; ++s) {
            bool by_all = true;
            for (int n = 0; n < Lanes<T>::count; ++n) by_all &= narrow.run.record.margin[(n * 3 + 1) * samples + s] >= 1;
            met += by_all;
        }
        CHECK(4 * met >= samples && met < samples, "%s: halfway %d of %d samples are left out", loss, met, samples);
    }
}

// Progress never falls, and ends at all steps of all networks.
void progress_is_complete() {
    Setting setting = settings()[2];
    setting.steps = 2000, setting.record_steps = {2000};
    Outcome<double> outcome(setting);
    std::vector<std::int64_t> seen;
    shoal::train(outcome.run, outcome.method, 2, [&](std::int64_t done) { seen.push_back(done); });
    CHECK(std::is_sorted(seen.begin(), seen.end()) && seen.back() == setting.networks * setting.steps, "ends at %lld", static_cast<long long>(seen.back()));
}

double seconds_until_thrown(const std::function<void()>& act, const std::string& expected) {
    const auto begin = std::chrono::steady_clock::now();
    std::string thrown = "nothing";
    try {
        act();
    } catch (const std::runtime_error& error) { thrown = error.what(); }
    CHECK(thrown == expected, "thrown: %s", thrown.c_str());
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Training that would take ages ends soon after its caller throws. That the test continues shows that the threads are joined.
void caller_stops() {
    for (const int threads : {1, 2, 5}) {
        Setting setting = settings()[1];
        setting.steps = std::int64_t(1) << 40, setting.record_steps = {setting.steps};
        Outcome<double> outcome(setting);
        outcome.method.retire = false;  // else networks that came to rest would be done at once
        int polls = 0;
        const auto poll = [&](std::int64_t) {
            if (++polls == 3) throw std::runtime_error("enough");
        };
        const double seconds = seconds_until_thrown([&] { shoal::train(outcome.run, outcome.method, threads, poll); }, "enough");
        CHECK(polls == 3, "polled %d times", polls);
        CHECK(seconds < 3.0, "%.1f s, of which 0.15 before the stop", seconds);
    }
    Outcome<double> quick(settings()[3]);
    seconds_until_thrown([&] { shoal::train(quick.run, quick.method, 1, [](std::int64_t) { throw std::runtime_error("at the end"); }); }, "at the end");
}

// An exception of a worker, when it is made or at work, stops the others and reaches the caller; the caller is not polled at the end.
void worker_fails() {
    for (const int threads : {1, 2, 5})
        for (const bool while_made : {true, false}) {
            std::atomic<int> made{0};
            const auto make_worker = [&]() -> std::function<void(std::int64_t, shoal::Monitor&)> {
                if (made.fetch_add(1) == 0 && while_made) throw std::runtime_error("out of luck");
                return [](std::int64_t pack, shoal::Monitor& monitor) {
                    if (pack == 3) throw std::runtime_error("out of luck");
                    while (pack > 3 && !monitor.stopped()) std::this_thread::yield();
                };
            };
            const double seconds = seconds_until_thrown([&] { shoal::schedule(1 << 30, threads, make_worker, ignore); }, "out of luck");
            CHECK(seconds < 3.0, "%.1f s", seconds);
        }
}

// Every pack is given out once, to as many workers as there are threads or packs, whichever is fewer.
void packs_once() {
    for (const std::int64_t packs : {1, 3, 1000}) {
        std::vector<std::atomic<int>> given(packs);
        std::atomic<int> workers{0};
        const auto make_worker = [&]() -> std::function<void(std::int64_t, shoal::Monitor&)> {
            ++workers;
            return [&](std::int64_t pack, shoal::Monitor&) { ++given[pack]; };
        };
        shoal::schedule(packs, 5, make_worker, ignore);
        CHECK(workers == std::min<std::int64_t>(5, packs), "%d workers", workers.load());
        CHECK(std::all_of(given.begin(), given.end(), [](const auto& times) { return times == 1; }), "%lld packs", static_cast<long long>(packs));
    }
}

template <class V, class MethodOf>
void allocates_nothing(MethodOf method_of) {
    for (const Setting& setting : settings()) {
        Outcome<typename V::Scalar> outcome(setting);
        const auto& method = method_of(outcome);
        // A flow allocates the lists of the surfaces that it meets.
        const bool meets = shoal::KinkMap(outcome.run.network, outcome.run.loss).any();
        if (std::is_same_v<std::decay_t<decltype(method)>, shoal::FlowMethod> && meets) continue;
        const long before = allocations;
        Eigen::internal::set_is_malloc_allowed(false);
        typename std::decay_t<decltype(method)>::template Trainer<V> trainer(outcome.run, method);
        CHECK(allocations > before, "the count misses the workspace of %s", setting.activation.c_str());
        shoal::Progress progress;
        shoal::Monitor monitor(progress);
        shoal::Queue queue(outcome.run.networks);
        const long ready = allocations;
        trainer.train(queue, monitor);
        CHECK(allocations == ready, "%ld allocations while %s trains", allocations - ready, setting.activation.c_str());
        Eigen::internal::set_is_malloc_allowed(true);
    }
}

// The whole call allocates as often for a thousand steps as for ten.
void steps_allocate_nothing() {
    long counts[2];
    for (const int longer : {0, 1}) {
        Setting setting = settings()[0];
        setting.start = shoal::StartKind::balanced;
        setting.steps = longer ? 1000 : 10, setting.record_steps = {0, setting.steps / 2, setting.steps};
        Outcome<double> outcome(setting);
        const long before = allocations;
        shoal::train(outcome.run, outcome.method, 2, ignore);
        counts[longer] = allocations - before;
    }
    CHECK(counts[0] == counts[1], "%ld for ten steps, %ld for a thousand", counts[0], counts[1]);
}

}  // namespace

void run_tests() {
    same_bits<double>(descent_of<double>);
    same_bits<double>(flow_of);
    retiring_shows_in_nothing<double>();
    progress_is_complete();
    caller_stops();
    worker_fails();
    packs_once();
    if constexpr (!only_threads) {
        same_bits<float>(descent_of<float>);
        retiring_shows_in_nothing<float>();
        same_bits_alone<double>(descent_of<double>);
        same_bits_alone<float>(descent_of<float>);
        same_bits_alone<double>(flow_of);
        samples_left_out_change_nothing<double>();
        samples_left_out_change_nothing<float>();
        allocates_nothing<Lanes<double>>(descent_of<double>);
        allocates_nothing<Lanes<float, 4>>(descent_of<float>);
        allocates_nothing<Lanes<double>>(flow_of);
        steps_allocate_nothing();
    }
}
