// Wide networks: the same bits however many threads share one, a prompt end if the caller or a member fails. Samples that do not pull, or certainly still meet
// their hinge, are left out without a change of bits.
#include "check.hpp"
#include "runs.hpp"
#include "trainings/trainings.hpp"

#include <chrono>
#include <stdexcept>

namespace {

using runs::Outcome;
using runs::Setting;
using shoal::Begin;
namespace wide = shoal::wide;

#ifdef __SANITIZE_THREAD__
constexpr bool only_threads = true;
#else
constexpr bool only_threads = false;
#endif

Setting of(std::vector<int> widths, const char* activation, const char* loss, bool bias, std::int64_t networks) {
    Setting setting{std::move(widths), activation, loss, bias, shoal::StartKind::gaussian, 700, networks};
    setting.test_samples = 300;  // then everything is recorded
    setting.rate = 0.03125;
    setting.penalty = {0.0625, 0.125};
    return setting;
}

std::vector<Setting> settings() {
    Setting rests = of({6, 33, 1}, "relu", "hinge", true, 1);  // whose satisfied samples may rest
    rests.penalty = {0.0625, 0.0}, rests.steps = 60, rests.record_steps = {0, 30, 60}, rests.rate = 0.5;
    return {of({5, 37, 1}, "relu", "hinge", true, 2), of({4, 19, 21, 1}, "tanh", "squared", false, 1), of({3, 18, 5}, "leaky_relu", "cross_entropy", true, 3),
            rests};
}

void ignore(std::int64_t) {}

// The bits are the same for one, two or five threads per network, and for networks one after another or each on its own thread.
template <class T>
void same_bits() {
    for (const Setting& setting : settings()) {
        const auto trained = [&](int threads) {
            Outcome<T> outcome(setting);
            wide::train(outcome.run, outcome.method, threads, ignore);
            return outcome.hash();
        };
        const std::uint64_t alone = trained(1);
        for (const int threads : {2, 5}) CHECK(trained(threads) == alone, "%s with %d threads", setting.activation.c_str(), threads);
    }
}

// Progress never falls, and ends at all steps of all networks; a network that diverges counts as trained to the end.
void progress_is_complete() {
    for (const double rate : {0.03125, 1e200})
        for (const int threads : {1, 3}) {
            Setting setting = settings()[0];
            setting.rate = rate, setting.loss = "squared";
            Outcome<double> outcome(setting);
            std::vector<std::int64_t> seen;
            wide::train(outcome.run, outcome.method, threads, [&](std::int64_t done) { seen.push_back(done); });
            CHECK(std::is_sorted(seen.begin(), seen.end()) && seen.back() == setting.networks * setting.steps, "ends at %lld",
                  static_cast<long long>(seen.back()));
            for (const shoal::Status status : outcome.status) CHECK((status == shoal::Status::diverged) == (rate > 1), "rate %g", rate);
        }
}

// Some networks die and leave, others take all steps: the bits are the same for any number of threads, and progress is complete.
void rules_end_networks() {
    Setting setting = of({6, 2, 1}, "relu", "hinge", true, 7);
    setting.stop.dead = true;
    setting.rate = 8, setting.steps = 40, setting.record_steps = {0, 10, 40}, setting.penalty = {};
    Outcome<double> alone(setting);
    wide::train(alone.run, alone.method, 1, ignore);
    const auto dead = std::count(alone.status.begin(), alone.status.end(), shoal::Status::dead);
    CHECK(dead > 0 && dead < setting.networks, "%d died", int(dead));
    for (const int threads : {2, 5, 8}) {  // 8: all on one network
        Outcome<double> outcome(setting);
        std::int64_t done = 0;
        wide::train(outcome.run, outcome.method, threads, [&](std::int64_t steps) { done = steps; });
        CHECK(outcome.hash() == alone.hash() && done == setting.networks * setting.steps, "%d threads", threads);
    }
}

void caller_stops() {
    for (const int threads : {1, 2, 5}) {
        Setting setting = settings()[0];
        setting.networks = 1, setting.steps = std::int64_t(1) << 40, setting.record_steps = {setting.steps};
        Outcome<double> outcome(setting);
        int polls = 0;
        const auto begin = std::chrono::steady_clock::now();
        bool thrown = false;
        try {
            wide::train(outcome.run, outcome.method, threads, [&](std::int64_t) {
                if (++polls == 3) throw std::runtime_error("enough");
            });
        } catch (const std::runtime_error&) { thrown = true; }
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        CHECK(thrown && polls == 3 && seconds < 3.0, "%d polls, %.1f s, of which 0.15 before the stop", polls, seconds);
    }
}

// If a member never comes to the first meeting, or throws before it, the others continue.
void members_may_be_missing() {
    Setting setting = settings()[0];
    Outcome<double> outcome(setting);
    const std::uint64_t alone = (wide::train(outcome.run, outcome.method, 1, ignore), outcome.hash());
    Outcome<double> again(setting);
    wide::Training<double> training(again.run, again.method, 3);
    shoal::Progress progress;
    shoal::Monitor monitor(progress);
    const auto turn = [&]() noexcept { training.turn(monitor); };
    std::barrier meeting(3, turn);
    const auto body = [&](int member) {
        if (member == 2) return void(meeting.arrive_and_drop());
        wide::Passes<double> passes(again.run.network, again.run.loss);
        training.take_part(0, again.run.networks, member == 0, monitor, passes, [&] { meeting.arrive_and_wait(); });
    };
    shoal::run_threads(3, progress, body, [] {}, ignore);
    CHECK(again.hash() == alone, "two of three members");
}

// The gradient of one network over all samples, in blocks of the given size.
template <class T>
wide::Slopes<T> gradient(const Outcome<T>& outcome, const shoal::Task<T>& task, int block) {
    const shoal::Network& network = outcome.run.network;
    wide::Model<T> model(network, {});
    std::vector<double> start(network.parameters);
    outcome.run.start.draw(network, 7, 0, 0, start.data());
    std::copy(start.begin(), start.end(), model.parameters.begin());
    model.load();
    wide::Samples<T> samples(network, task, 0.0);
    wide::Passes<T> passes(network, outcome.run.loss);
    wide::Slopes<T> slopes(network);
    for (int first = 0; first < task.samples; first += block) {
        const int count = std::min(block, task.samples - first);
        passes.forward(model, samples, {first, count});
        passes.backward(model, samples, {first, count}, slopes, first == 0 ? Begin::zero : Begin::stored);
    }
    return slopes;
}

template <class T>
bool same(const wide::Slopes<T>& a, const wide::Slopes<T>& b, const shoal::Network& network) {
    bool equal = true;
    const auto compare = [&](const auto& one, const auto& other, std::int64_t numbers) {
        equal &= std::memcmp(one.at(0), other.at(0), numbers * sizeof(T)) == 0;
    };
    for (int l = 0; l <= network.hidden_layers(); ++l) {
        const shoal::Layer& layer = network.layers[l];
        const bool head = l == network.hidden_layers();
        compare(a.weights[l], b.weights[l], head ? wide::filled<T>(layer.inputs) * layer.outputs : wide::filled<T>(layer.outputs) * layer.inputs);
        if (layer.biases >= 0) compare(a.biases[l], b.biases[l], wide::filled<T>(layer.outputs));
    }
    return equal;
}

// Blocks of any size give the same bits. So do the same samples among others of weight 0, which the backward pass leaves out.
template <class T>
void blocks_and_gaps_change_no_bit() {
    for (const Setting& setting : settings()) {
        const Outcome<T> outcome(setting);
        const shoal::Task<T>& task = outcome.run.task;
        const wide::Slopes<T> whole = gradient(outcome, task, 128);
        for (const int block : {1, 7, 100}) CHECK(same(gradient(outcome, task, block), whole, outcome.run.network), "blocks of %d", block);

        const int dimension = task.dimension, gap = 3;
        shoal::Task<T> sparse = task;
        sparse.samples = task.samples * gap;
        sparse.inputs.clear(), sparse.labels.clear(), sparse.weights.clear();
        for (int s = 0; s < task.samples; ++s)
            for (int copy = 0; copy < gap; ++copy) {
                const auto from = task.inputs.begin() + std::int64_t(copy == 1 ? s : (s + 5) % task.samples) * dimension;
                sparse.inputs.insert(sparse.inputs.end(), from, from + dimension);
                sparse.labels.push_back(task.labels[s]);
                sparse.weights.push_back(copy == 1 ? task.weights[s] : T(0));
            }
        CHECK(same(gradient(outcome, sparse, 128), whole, outcome.run.network), "%s among samples that do not pull", setting.activation.c_str());
        const bool some = std::any_of(whole.weights[0].at(0), whole.weights[0].at(0) + 8, [](T slope) { return slope != 0; });
        CHECK(some, "no gradient in %s", setting.activation.c_str());
    }
}

// Trains the one network of a run on this thread, and returns how many samples it saw.
template <class T>
std::int64_t train_and_count(Outcome<T>& outcome) {
    wide::Training<T> training(outcome.run, outcome.method, 1);
    wide::Passes<T> passes(outcome.run.network, outcome.run.loss);
    shoal::Progress progress;
    shoal::Monitor monitor(progress);
    training.take_part(0, 1, true, monitor, passes, [&] { training.turn(monitor); });
    return training.samples_seen();
}

// Samples that certainly meet their hinge rest where nothing is recorded of them; the weights equal those of a training that looks at all samples.
template <class T>
void satisfied_samples_rest() {
    for (const char* loss : {"hinge", "squared_hinge", "cross_entropy"}) {
        Setting setting = of({40, 60, 1}, "relu", loss, true, 1);
        setting.samples = 150, setting.steps = 1000, setting.record_steps = {0, 1000}, setting.penalty = {0.0001, 0.0};
        Setting every = setting;
        every.record_steps.clear();
        for (std::int64_t step = 0; step <= setting.steps; ++step) every.record_steps.push_back(step);
        Outcome<T> rests(setting), looks(every);
        const std::int64_t seen = train_and_count(rests), all = train_and_count(looks), samples = setting.samples;
        CHECK(all == samples * (setting.steps + 1), "%s: saw %lld", loss, static_cast<long long>(all));
        const bool hinge = std::strcmp(loss, "cross_entropy") != 0;
        CHECK(hinge ? 2 * seen < all : seen == all, "%s: saw %lld of %lld", loss, static_cast<long long>(seen), static_cast<long long>(all));
        for (std::size_t l = 0; l < 2; ++l) {
            const std::int64_t numbers = std::int64_t(setting.widths[l]) * setting.widths[l + 1];
            CHECK(std::memcmp(rests.run.record.weights[l], looks.run.record.weights[l], numbers * sizeof(T)) == 0, "%s: layer %d", loss, int(l));
        }
    }
}

}  // namespace

void run_tests() {
    same_bits<double>();
    same_bits<float>();
    progress_is_complete();
    rules_end_networks();
    caller_stops();
    members_may_be_missing();
    if (only_threads) return;
    blocks_and_gaps_change_no_bit<double>();
    blocks_and_gaps_change_no_bit<float>();
    satisfied_samples_rest<double>();
    satisfied_samples_rest<float>();
}
