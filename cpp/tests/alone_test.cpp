// Networks that train alone have the bits of networks in lanes, however many threads share one. They end promptly if the caller or a member fails. Samples that do
// not pull, or certainly still meet their hinge, are left out without a change of bits.
#include "check.hpp"
#include "runs.hpp"
#include "trainings/trainings.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <set>
#include <stdexcept>

namespace {

using runs::Outcome;
using runs::Setting;
using shoal::Begin;
using shoal::Engine;
using shoal::Lanes;
namespace alone = shoal::alone;

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
            shoal::train(outcome.run, outcome.method, Engine::alone, threads, ignore);
            return outcome.hash();
        };
        const std::uint64_t one = trained(1);
        for (const int threads : {2, 5}) CHECK(trained(threads) == one, "%s with %d threads", setting.activation.c_str(), threads);
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
            shoal::train(outcome.run, outcome.method, Engine::alone, threads, [&](std::int64_t done) { seen.push_back(done); });
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
    Outcome<double> one(setting);
    shoal::train(one.run, one.method, Engine::alone, 1, ignore);
    const auto dead = std::count(one.status.begin(), one.status.end(), shoal::Status::dead);
    CHECK(dead > 0 && dead < setting.networks, "%d died", int(dead));
    for (const int threads : {2, 5, 8}) {  // 8: all on one network
        Outcome<double> outcome(setting);
        std::int64_t done = 0;
        shoal::train(outcome.run, outcome.method, Engine::alone, threads, [&](std::int64_t steps) { done = steps; });
        CHECK(outcome.hash() == one.hash() && done == setting.networks * setting.steps, "%d threads", threads);
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
            shoal::train(outcome.run, outcome.method, Engine::alone, threads, [&](std::int64_t) {
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
    const std::uint64_t one = (shoal::train(outcome.run, outcome.method, Engine::alone, 1, ignore), outcome.hash());
    Outcome<double> again(setting);
    alone::Training<double> training(again.run, again.method, 3);
    shoal::Progress progress;
    shoal::Monitor monitor(progress);
    const auto turn = [&]() noexcept { training.turn(monitor); };
    std::barrier meeting(3, turn);
    const auto body = [&](int member) {
        if (member == 2) return void(meeting.arrive_and_drop());
        alone::Passes<double> passes(again.run.network, again.run.loss, alone::most_samples(again.run));
        training.take_part(0, again.run.networks, member == 0, monitor, passes, [&] { meeting.arrive_and_wait(); });
    };
    shoal::run_threads(3, progress, body, [] {}, ignore);
    CHECK(again.hash() == one, "two of three members");
}

// The gradient of one network over all samples, in blocks of the given size; 0 takes the largest that there is.
template <class T>
alone::Rows<T> gradient(const Outcome<T>& outcome, const shoal::Task<T>& task, int block) {
    const shoal::Network& network = outcome.run.network;
    alone::Model<T> model(network, {}, false);
    std::vector<double> start(network.parameters);
    outcome.run.start.draw(network, 7, 0, 0, start.data());
    model.load(std::vector<T>(start.begin(), start.end()));
    alone::Samples<T> samples(network, task, 0.0);
    const int most = alone::Passes<T>::block_samples(network, task.samples, outcome.run.tuning), each = block > 0 ? block : most;
    CHECK(each <= most, "blocks of %d samples, where %d fit", each, most);
    alone::Passes<T> passes(network, outcome.run.loss, task.samples, outcome.run.tuning);
    alone::Rows<T> slopes(network);
    for (int first = 0; first < task.samples; first += each) {
        const int count = std::min(each, task.samples - first);
        passes.forward(model, samples, {first, count});
        passes.backward(model, samples, {first, count}, slopes, first == 0 ? Begin::zero : Begin::stored);
    }
    return slopes;
}

// Whether two gradients are equal. Of a homogeneous head only the bias counts: the gradient of its weights follows from the layer below.
template <class T>
bool same(const alone::Rows<T>& a, const alone::Rows<T>& b, const shoal::Network& network) {
    bool equal = true;
    for (int l = 0; l <= network.hidden_layers(); ++l) {
        const shoal::Layer& layer = network.layers[l];
        const bool of_bias = network.homogeneous_head() && l == network.hidden_layers();
        if (of_bias && layer.biases < 0) continue;
        const std::int64_t first = of_bias ? layer.inputs : 0, numbers = of_bias ? 1 : alone::row_of<Lanes<T>>(layer) * layer.outputs;
        equal &= std::memcmp(a.layers[l].at(0) + first, b.layers[l].at(0) + first, numbers * sizeof(T)) == 0;
    }
    return equal;
}

// Blocks of any size give the same bits. So do the same samples among others of weight 0, which the backward pass leaves out.
template <class T>
void blocks_and_gaps_change_no_bit() {
    for (const Setting& setting : settings()) {
        const Outcome<T> outcome(setting);
        const shoal::Task<T>& task = outcome.run.task;
        const alone::Rows<T> whole = gradient(outcome, task, 0);
        for (const int block : {1, 7, 50}) CHECK(same(gradient(outcome, task, block), whole, outcome.run.network), "blocks of %d", block);

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
        CHECK(same(gradient(outcome, sparse, 0), whole, outcome.run.network), "%s among samples that do not pull", setting.activation.c_str());
        const bool some = std::any_of(whole.layers[0].at(0), whole.layers[0].at(0) + 8, [](T slope) { return slope != 0; });
        CHECK(some, "no gradient in %s", setting.activation.c_str());
    }
}

// Trains the one network of a run on this thread, and returns how many samples it saw.
template <class T>
std::int64_t train_and_count(Outcome<T>& outcome) {
    alone::Training<T> training(outcome.run, outcome.method, 1);
    alone::Passes<T> passes(outcome.run.network, outcome.run.loss, alone::most_samples(outcome.run));
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

// A random setting: any widths, activation, loss, penalties, scales and rates; of some the samples are cut in shares.
Setting random_setting(std::uint32_t& seed) {
    const auto below = [&](int count) {
        seed = seed * 1664525u + 1013904223u;
        return int((std::uint64_t(seed) * std::uint64_t(count)) >> 32);
    };
    const auto one_of = [&](auto... names) { return std::array{names...}[below(int(sizeof...(names)))]; };
    const int hidden = below(4), outputs = below(4) == 0 ? 2 + below(4) : 1;
    std::vector<int> widths{1 + below(12)};
    for (int l = 0; l < hidden; ++l) widths.push_back(1 + below(hidden == 1 ? 40 : 20));
    widths.push_back(outputs);
    Setting s{widths, one_of("relu", "leaky_relu", "linear", "tanh", "softplus", "erf", "quadratic")};
    s.loss = outputs > 1 ? one_of("cross_entropy", "squared") : one_of("cross_entropy", "hinge", "squared_hinge", "exponential", "squared");
    s.bias = below(2);
    s.samples = 1 + below(below(2) ? 8 : 300), s.networks = 1 + below(5), s.test_samples = below(4) ? 1 + below(60) : 0;
    s.rate = one_of(1.0 / 32, 1.0 / 4, 2.0);
    s.seed = std::uint64_t(below(1000));
    if (below(2)) s.penalty = {one_of(0.0, 0.0625), one_of(0.0, 0.125)};
    if (below(2))
        for (std::size_t l = 0; l + 1 < widths.size(); ++l) s.scales.push_back(one_of(0.25, 1.0, 1.5));
    if (below(2))
        for (std::size_t l = 0; l + 1 < widths.size(); ++l) s.rates.push_back(one_of(0.5, 1.0, 3.0));
    s.centred = below(4) == 0;
    const bool hinge = s.loss == "hinge" || s.loss == "squared_hinge", relu = s.activation == "relu" && hidden > 0;
    s.regression = s.loss == "squared" && below(2);
    if (below(3) == 0) s.stop = {!s.regression && below(2) == 1, hinge && below(2) == 1, relu && below(2) == 1};
    if (below(8) == 0) {  // in shares
        s.widths.front() = 40, s.samples = 700 + below(40), s.networks = 2;
        if (hidden > 0) s.widths[1] = 60;
    }
    if (below(10) == 0) s.rate = 1e200;  // networks diverge
    if (below(3) == 0) s.momentum = 0.75, s.nesterov = below(2) == 1;
    return s;
}

// The bits are those of networks in lanes, whatever the setting, the threads, and the networks that are left to train alone.
template <class T>
void same_bits_as_lanes() {
    std::uint32_t seed = 2018;
    int shared = 0, without_hidden = 0, stopped = 0, lost = 0;
    for (int n = 0; n < 420; ++n) {
        Setting setting = random_setting(seed);
        if (setting.rate > 1e38 && sizeof(T) == 4) setting.rate = 1e30;
        Outcome<T> lanes(setting), samples(setting);
        const int threads = 1 + n % 3;
        shoal::train(lanes.run, lanes.method, Engine::lanes, 1, ignore);
        shoal::train(samples.run, samples.method, Engine::alone, threads, ignore);
        CHECK(lanes.hash() == samples.hash(), "setting %d: %zu layers, %d inputs, %d samples, %s, %s, %d threads", n, setting.widths.size() - 1,
              setting.widths[0], setting.samples, setting.activation.c_str(), setting.loss.c_str(), threads);
        Outcome<T> leaving(setting);
        leaving.method.leaving = 1 + n % Lanes<T>::count;
        shoal::train(leaving.run, leaving.method, Engine::lanes, 1 + n % 2, ignore);
        CHECK(lanes.hash() == leaving.hash(), "setting %d: when %d are left, they leave", n, leaving.method.leaving);
        shared += shoal::shares(lanes.run.network, setting.samples) > 1, without_hidden += setting.widths.size() == 2;
        for (const shoal::Status status : lanes.status) stopped += status >= shoal::Status::fitted, lost += status == shoal::Status::diverged;
    }
    CHECK(shared > 9 && without_hidden > 29 && stopped > 29 && lost > 29, "%d in shares, %d without hidden units, %d stopped, %d diverged", shared,
          without_hidden, stopped, lost);
}

// Networks that go on in their pack, at rest, and end by rules, leave it when few are left: progress is complete, and each bit is that of lanes.
template <class T>
void stragglers_go_on_alone() {
    Setting usual{{5, 20, 1}}, curved{{4, 8, 6, 1}, "tanh"}, moving{{5, 20, 1}}, centred{{5, 12, 12, 1}};
    moving.momentum = 0.5, moving.nesterov = true, centred.centred = true, usual.start = shoal::StartKind::separated;
    for (Setting setting : {usual, curved, moving, centred}) {
        setting.samples = 20, setting.steps = 200, setting.record_steps = {0, 37, 64, 150, 200}, setting.stop = {true, false, true};
        setting.networks = 3 * Lanes<T>::count, setting.test_samples = 4;
        Outcome<T> lanes(setting);
        shoal::train(lanes.run, lanes.method, Engine::lanes, 1, ignore);
        const std::set<std::int64_t> ends(lanes.stopped_at.begin(), lanes.stopped_at.end());
        CHECK(ends.size() > 5, "networks end at %zu different steps", ends.size());
        for (const int leaving : {1, 2, Lanes<T>::count, -1})
            for (const int threads : {1, 2}) {
                Outcome<T> some(setting);
                some.method.leaving = leaving;
                std::int64_t done = 0;
                shoal::train(some.run, some.method, Engine::lanes, threads, [&](std::int64_t now) { done = now; });
                CHECK(some.hash() == lanes.hash() && done == setting.networks * setting.steps, "%s, when %d are left, %d threads: %d steps",
                      setting.activation.c_str(), leaving, threads, int(done));
            }
    }
}

// The automatic choice leaves some networks to train alone, all, or none; the bits are those of lanes, and progress is complete.
template <class T>
void any_networks_may_be_alone() {
    const int count = Lanes<T>::count;
    Setting small{{5, 20, 1}}, tiny{{2, 1}}, large{{60, 200, 1}};
    small.samples = 40, large.samples = 300, large.networks = 2;
    for (const int networks : {1, count - 1, count + 1, 2 * count + 2, 9 * count + 1}) {
        small.networks = tiny.networks = networks;
        for (const Setting& setting : {small, tiny, large})
            for (const int threads : {1, 2}) {
                Outcome<T> lanes(setting), chosen(setting);
                const auto by_itself = shoal::networks_alone<T>(lanes.run.network, setting.samples, setting.networks, threads, Engine::automatic, false);
                const std::int64_t rest = setting.networks % (count * threads);
                const int most = shoal::most_alone(double(lanes.run.network.parameters) * setting.samples, count);
                const bool few = setting.networks < shoal::few_rounds * count * threads && (rest + threads - 1) / threads <= most;
                CHECK(by_itself == (setting.widths[0] == 60         ? 2
                                    : setting.widths[0] == 5 && few ? rest
                                                                    : 0),
                      "%d networks, %d threads: %d alone", networks, threads, int(by_itself));
                shoal::train(lanes.run, lanes.method, Engine::lanes, 1, ignore);
                std::vector<std::int64_t> seen;
                shoal::train(chosen.run, chosen.method, Engine::automatic, threads, [&](std::int64_t done) { seen.push_back(done); });
                CHECK(lanes.hash() == chosen.hash(), "%d of %d networks alone, %d threads", int(by_itself), int(setting.networks), threads);
                CHECK(std::is_sorted(seen.begin(), seen.end()) && seen.back() == setting.networks * setting.steps, "progress ends at %d", int(seen.back()));
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
    same_bits_as_lanes<double>();
    same_bits_as_lanes<float>();
    stragglers_go_on_alone<double>();
    stragglers_go_on_alone<float>();
    any_networks_may_be_alone<double>();
    any_networks_may_be_alone<float>();
}
