// Trainings that keep only statistics: these equal, to the bit, the statistics of the records of all networks, for any threads and stretches.
#include "check.hpp"
#include "runs.hpp"
#include "trainings/trainings.hpp"

#include <numeric>

namespace {

constexpr std::int64_t cell = 16;
constexpr shoal::Bins bins{3};

// The statistics kept of a run: loss and margin, the products of the loss with itself, an event, histograms, and when rules were met.
template <class T>
struct Kept {
    std::int64_t cells;
    std::vector<double> loss, margin, product, stop_moments;
    std::vector<std::int64_t> kept, event, histogram, status, stopped, stop_histogram;
    shoal::Reduction<T> reduction;

    Kept(const runs::Setting& s, int stretch) {
        const std::int64_t times = std::int64_t(s.record_steps.size()), margins = times * s.samples;
        cells = (s.first + s.networks - 1) / cell - s.first / cell + 1;
        loss.resize(cells * 4 * times), margin.resize(cells * 4 * margins), product.resize(cells * times);
        kept.resize(cells), event.resize(times), histogram.resize(times * bins.count()), status.resize(shoal::statuses);
        stopped.resize(cells * shoal::stop_rules), stop_moments.resize(4 * cells * shoal::stop_rules);
        stop_histogram.resize(shoal::stop_rules * bins.count());
        reduction = {
            cell,
            stretch,
            {{[](shoal::Record<T>& record) -> T*& { return record.loss; }, times}, {[](shoal::Record<T>& record) -> T*& { return record.margin; }, margins}},
            {{0, 0}},
            {{0, shoal::Relation::below, 0.5}},
            {0},
            bins,
            true};
        reduction.kept = kept.data(), reduction.moments = {loss.data(), margin.data()}, reduction.products = {product.data()};
        reduction.counts = {event.data()}, reduction.histograms = {histogram.data()}, reduction.status = status.data();
        reduction.stopped = stopped.data(), reduction.stop_moments = stop_moments.data(), reduction.stop_histogram = stop_histogram.data();
    }
    Kept(const Kept&) = delete;

    bool operator==(const Kept& other) const {
        return loss == other.loss && margin == other.margin && product == other.product && stop_moments == other.stop_moments && kept == other.kept &&
               event == other.event && histogram == other.histogram && status == other.status && stopped == other.stopped &&
               stop_histogram == other.stop_histogram;
    }
};

// Takes the same statistics from the records of all networks.
template <class T>
void take_from_records(const runs::Outcome<T>& outcome, const runs::Setting& s, Kept<T>& to) {
    const std::int64_t times = std::int64_t(s.record_steps.size());
    const shoal::Records<T> loss{outcome.run.record.loss, times}, margin{outcome.run.record.margin, times * s.samples};
    std::vector<double> steps(outcome.stopped_at.begin(), outcome.stopped_at.end());
    for (std::int64_t c = 0; c < to.cells; ++c) {
        const std::int64_t begin = std::max((s.first / cell + c) * cell, s.first) - s.first;
        const std::int64_t end = std::min((s.first / cell + c + 1) * cell - s.first, s.networks);
        std::vector<std::int64_t> kept, known, met[shoal::stop_rules];
        for (std::int64_t n = begin; n < end; ++n) {
            const auto status = outcome.status[n];
            ++to.status[int(status)];
            if (!shoal::is_lost(status)) kept.push_back(n);
            if (status != shoal::Status::exhausted) known.push_back(n);
            if (status >= shoal::Status::fitted) met[int(status) - int(shoal::Status::fitted)].push_back(n);
        }
        to.kept[c] = std::int64_t(kept.size());
        double* const moments = to.loss.data() + c * 4 * times;
        shoal::take_moments(loss, kept, moments);
        shoal::take_moments(margin, kept, to.margin.data() + c * 4 * margin.numbers);
        shoal::take_products(loss, loss, kept, moments, moments, to.product.data() + c * times);
        shoal::count_events(loss, known, shoal::Relation::below, 0.5, to.event.data());
        shoal::fill_histograms(loss, kept, bins, to.histogram.data());
        for (int rule = 0; rule < shoal::stop_rules; ++rule) {
            const std::int64_t at = c * shoal::stop_rules + rule;
            to.stopped[at] = std::int64_t(met[rule].size());
            const shoal::Records<double> stopped{steps.data(), 1};
            shoal::take_moments(stopped, met[rule], to.stop_moments.data() + 4 * at);
            shoal::fill_histograms(stopped, met[rule], bins, to.stop_histogram.data() + rule * bins.count());
        }
    }
}

template <class T>
void same_as_of_records(const char* name, const runs::Setting& s, shoal::Engine engine) {
    runs::Outcome<T> outcome(s);
    shoal::train(outcome.run, outcome.method, engine, 2, [](std::int64_t) {});
    Kept<T> known(s, 1);
    take_from_records(outcome, s, known);
    shoal::Run<T> run = outcome.run;
    run.record = {};
    run.record.times = std::int64_t(s.record_steps.size());
    for (const int threads : {1, 2, 5})
        for (const int stretch : {1, 4}) {
            Kept<T> found(s, stretch);
            std::int64_t done = 0;
            shoal::train_reduced(run, outcome.method, found.reduction, engine, threads, [&](std::int64_t now) {
                CHECK(now >= done, "%s: progress falls from %lld to %lld", name, (long long)done, (long long)now);
                done = now;
            });
            CHECK(found == known, "%s: %d threads, %d cells a stretch", name, threads, stretch);
            CHECK(done == s.networks * s.steps, "%s: progress ends at %lld", name, (long long)done);
        }
    const std::int64_t all = std::accumulate(known.status.begin(), known.status.end(), std::int64_t(0));
    CHECK(all == s.networks, "%s: %lld networks have a status", name, (long long)all);
}

// Shares follow each other without a gap, have the largest size at first, never grow, and end with one network.
void shares_shrink() {
    shoal::Queue queue(1000);
    std::int64_t given = 0;
    int last = 8;
    for (shoal::Queue::Some next; (next = queue.take_share(8, 3)).count > 0; given += last = next.count) {
        CHECK(next.first == given, "a share begins at %lld, after %lld", (long long)next.first, (long long)given);
        CHECK(next.count <= last, "a share of %d after one of %d", next.count, last);
        if (given == 0) CHECK(next.count == 8, "the first share has %d", next.count);
    }
    CHECK(given == 1000 && last == 1, "%lld were given, %d at last", (long long)given, last);
}

}  // namespace

void run_tests() {
    shares_shrink();
    runs::Setting tiny{{2, 4, 1}};  // packs with several registers per number
    tiny.networks = 150;
    runs::Setting stopping{{3, 6, 1}};
    stopping.networks = 100, stopping.first = 40, stopping.steps = 200, stopping.record_steps = {0, 50, 200}, stopping.stop = {true, false, true};
    runs::Setting diverging{{3, 5, 1}, "relu", "squared"};
    diverging.networks = 70, diverging.rate = 1.5, diverging.steps = 60, diverging.record_steps = {0, 60};
    for (const auto& [name, setting] : {std::pair{"tiny", &tiny}, std::pair{"stopping", &stopping}, std::pair{"diverging", &diverging}})
        same_as_of_records<double>(name, *setting, shoal::Engine::lanes);
    stopping.networks = 20;
    same_as_of_records<double>("alone", stopping, shoal::Engine::alone);
}
