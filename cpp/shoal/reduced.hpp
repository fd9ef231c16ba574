// Training that keeps only statistics of the networks, in memory that does not grow with their number.
//
// Networks with the same index / cell form a cell. Each thread trains a stretch of a few cells into its own records, takes the statistics of each cell while
// they are in the cache, and takes the next stretch. The last stretches are shorter, so that all threads end together. The networks' indices fix the cells:
// threads, stretches and the begin of a run change no bit of a whole cell. Counts need no cells, because integers add up to the same in any order.
#pragma once

#include "shoal/statistics.hpp"
#include "shoal/train.hpp"

#include <array>

namespace shoal {

constexpr int statuses = 6;
constexpr int stop_rules = statuses - int(Status::fitted);  // the statuses for which the time of meeting is kept

// A measure: the record's field for the address of its array, and the count of numbers per network.
template <class T>
struct Measured {
    T*& (*in)(Record<T>&);
    std::int64_t numbers;
};

struct Event {
    int measure;
    Relation relation;
    double threshold;
};

// What to keep, and where it goes.
template <class T>
struct Reduction {
    std::int64_t cell;  // in networks
    int stretch;  // in cells, at most
    std::vector<Measured<T>> measures;
    std::vector<std::pair<int, int>> pairs;  // of measures with equally many numbers
    std::vector<Event> events;
    std::vector<int> distributed;  // measures whose histograms are kept
    Bins bins;
    bool stops;  // whether to keep when networks met a rule

    std::int64_t* kept = nullptr;  // (cells,): networks that were not lost
    std::vector<double*> moments = {}, products = {};  // per measure (cells, 4, numbers), per pair (cells, numbers)
    std::vector<std::int64_t*> counts = {};  // per event (numbers,)
    std::vector<std::int64_t*> histograms = {};  // per distributed measure (numbers, bins)
    std::int64_t* status = nullptr;  // (statuses,)
    std::int64_t* stopped = nullptr;  // (cells, stop_rules)
    double* stop_moments = nullptr;  // (cells, stop_rules, 4), of the step
    std::int64_t* stop_histogram = nullptr;  // (stop_rules, bins)
};

// The records of one stretch, and their statistics.
template <class T>
class Stretch {
  public:
    Stretch(const Run<T>& run, const Reduction<T>& reduction) : run_(run), whole_(run), reduction_(reduction), counted_(statuses) {
        const std::int64_t most = std::min(reduction.cell * reduction.stretch, whole_.networks);
        for (const Measured<T>& measure : reduction.measures) {
            records_.emplace_back(most * measure.numbers);
            measure.in(run_.record) = records_.back().data();
        }
        status_.resize(most), stopped_at_.resize(most), stopped_.resize(most), time_.resize(most), steps_.resize(2 * most);
        run_.record.status = status_.data(), run_.record.stopped_at = stopped_at_.data();
        run_.record.stopped_time = time_.data(), run_.record.accepted = steps_.data(), run_.record.rejected = steps_.data() + most;  // of a flow
        for (const Event& event : reduction.events) counts_.emplace_back(reduction.measures[event.measure].numbers);
        for (const int measure : reduction.distributed) histograms_.emplace_back(reduction.measures[measure].numbers * reduction.bins.count());
        if (reduction.stops) stop_histogram_.resize(stop_rules * reduction.bins.count());
    }
    Stretch(const Stretch&) = delete;
    Stretch& operator=(const Stretch&) = delete;

    // The number of cells that hold networks of the run.
    static std::int64_t cells(const Run<T>& run, const Reduction<T>& reduction) {
        return (run.first + run.networks - 1) / reduction.cell - run.first / reduction.cell + 1;
    }

    // The run of the networks of the present stretch; its address does not change.
    const Run<T>& run() const { return run_; }
    void begin(const Queue::Some& cells) {
        const std::int64_t begin = (whole_.first / reduction_.cell + cells.first) * reduction_.cell;
        run_.first = std::max(begin, whole_.first);
        run_.networks = std::min(begin + cells.count * reduction_.cell, whole_.first + whole_.networks) - run_.first;
        run_.position = whole_.position + run_.first - whole_.first;
    }

    // Reduces the records, cell by cell.
    void reduce() {
        for (std::int64_t first = 0; first < run_.networks;) {
            const std::int64_t cell = (run_.first + first) / reduction_.cell, end = std::min((cell + 1) * reduction_.cell - run_.first, run_.networks);
            reduce_cell(cell - whole_.first / reduction_.cell, first, end);
            first = end;
        }
    }

    // Adds the counts to the results.
    void add_counts() const {
        const auto add = [](const std::vector<std::int64_t>& from, std::int64_t* to) {
            for (std::size_t n = 0; n < from.size(); ++n) to[n] += from[n];
        };
        add(counted_, reduction_.status);
        for (std::size_t e = 0; e < counts_.size(); ++e) add(counts_[e], reduction_.counts[e]);
        for (std::size_t d = 0; d < histograms_.size(); ++d) add(histograms_[d], reduction_.histograms[d]);
        if (reduction_.stops) add(stop_histogram_, reduction_.stop_histogram);
    }

  private:
    Records<T> records(int measure) const { return {records_[measure].data(), reduction_.measures[measure].numbers}; }

    void reduce_cell(std::int64_t cell, std::int64_t first, std::int64_t end) {
        chosen_.clear();
        for (std::int64_t n = first; n < end; ++n) {
            ++counted_[int(status_[n])];
            if (!is_lost(status_[n])) chosen_.push_back(n);
        }
        const std::span<const std::int64_t> kept = chosen_;
        reduction_.kept[cell] = std::int64_t(kept.size());
        const auto moments = [&](int m) { return reduction_.moments[m] + cell * 4 * reduction_.measures[m].numbers; };
        for (int m = 0; m < int(reduction_.measures.size()); ++m) take_moments(records(m), kept, moments(m));
        for (std::size_t p = 0; p < reduction_.pairs.size(); ++p) {
            const auto [one, other] = reduction_.pairs[p];
            take_products(records(one), records(other), kept, moments(one), moments(other), reduction_.products[p] + cell * records(one).numbers);
        }
        // Events count diverged networks too: an event that asks how often training fails must not leave out those that failed most.
        known_.clear();
        for (std::int64_t n = first; n < end; ++n)
            if (status_[n] != Status::exhausted) known_.push_back(n);
        for (std::size_t e = 0; e < reduction_.events.size(); ++e) {
            const Event& event = reduction_.events[e];
            count_events(records(event.measure), known_, event.relation, event.threshold, counts_[e].data());
        }
        for (std::size_t d = 0; d < reduction_.distributed.size(); ++d)
            fill_histograms(records(reduction_.distributed[d]), kept, reduction_.bins, histograms_[d].data());
        if (reduction_.stops) reduce_stops(cell, first, end);
    }

    // Statistics of when the networks of a cell met each rule.
    void reduce_stops(std::int64_t cell, std::int64_t first, std::int64_t end) {
        for (int rule = 0; rule < stop_rules; ++rule) {
            chosen_.clear();
            for (std::int64_t n = first; n < end; ++n)
                if (int(status_[n]) == rule + int(Status::fitted)) chosen_.push_back(n), stopped_[n] = double(stopped_at_[n]);
            const std::int64_t at = cell * stop_rules + rule;
            reduction_.stopped[at] = std::int64_t(chosen_.size());
            const Records<double> steps{stopped_.data(), 1};
            take_moments(steps, chosen_, reduction_.stop_moments + 4 * at);
            fill_histograms(steps, chosen_, reduction_.bins, stop_histogram_.data() + rule * reduction_.bins.count());
        }
    }

    Run<T> run_;
    const Run<T>& whole_;
    const Reduction<T>& reduction_;
    std::vector<std::vector<T>> records_;
    std::vector<Status> status_;
    std::vector<std::int64_t> stopped_at_, steps_, chosen_, known_;
    std::vector<double> stopped_, time_;
    std::vector<std::int64_t> counted_, stop_histogram_;
    std::vector<std::vector<std::int64_t>> counts_, histograms_;
};

// A stretch, and the trainer with which a thread trains it.
template <class T, class Method, AnyLanes V>
class Reducer {
  public:
    Reducer(const Run<T>& run, const Method& method, const Reduction<T>& reduction) : stretch_(run, reduction), trainer_(stretch_.run(), method) {}

    void train(const Queue::Some& cells, Monitor& monitor) {
        stretch_.begin(cells);
        Queue queue(stretch_.run().networks);
        trainer_.train(queue, monitor);
        if (!monitor.stopped()) stretch_.reduce();
    }
    void add_counts() const { stretch_.add_counts(); }

  private:
    Stretch<T> stretch_;
    typename Method::template Trainer<V> trainer_;
};

// Trains all networks of the run and keeps what the reduction asks for. The run's record holds no addresses of measures.
template <class T, class Method>
void train_reduced(const Run<T>& run, const Method& method, const Reduction<T>& reduction, Engine engine, int threads,
                   const std::function<void(std::int64_t)>& poll) {
    const std::int64_t cells = Stretch<T>::cells(run, reduction);
    constexpr bool flows = !std::is_same_v<Method, DescentMethod<T>>;
    if (networks_alone<T>(run.network, run.task.learnt, run.networks, threads, engine, flows) == run.networks) {
        Stretch<T> stretch(run, reduction);
        Queue queue(cells);
        std::int64_t before = 0, done = 0;
        for (Queue::Some next; (next = queue.take(reduction.stretch)).count > 0; before += done) {
            stretch.begin(next);
            train(stretch.run(), method, Engine::alone, threads, [&](std::int64_t now) { poll(before + (done = now)); });
            stretch.reduce();
        }
        return stretch.add_counts();
    }
    with_lanes<T>(run.network, run.networks, threads, [&](auto lanes) {
        using Worker = Reducer<T, Method, decltype(lanes)>;
        std::vector<std::shared_ptr<Worker>> workers;
        std::mutex mutex;
        const auto make_worker = [&] {
            auto worker = std::make_shared<Worker>(run, method, reduction);
            const std::lock_guard lock(mutex);
            workers.push_back(worker);
            return [worker, threads, most = reduction.stretch](Queue& queue, Monitor& monitor) {
                for (Queue::Some next; !monitor.stopped() && (next = queue.take_share(most, threads)).count > 0;) worker->train(next, monitor);
            };
        };
        work_through(cells, 1, threads, make_worker, poll);
        for (const auto& worker : workers) worker->add_counts();
    });
}

}  // namespace shoal
