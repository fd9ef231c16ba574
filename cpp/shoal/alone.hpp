// Descent of networks that train alone, with their samples in the lanes: one per thread, or one after the other by a team of threads, which take the shares of
// its samples as they come, then move its parameters part by part.
#pragma once

#include "shoal/alone_training.hpp"
#include "shoal/schedule.hpp"

#include <barrier>

namespace shoal::alone {

// Trains networks on one thread.
template <class T>
class Alone {
  public:
    Alone(const Run<T>& run, const DescentMethod<T>& method) : training_(run, method, 1), passes_(run.network, run.loss, most_samples(run), run.tuning) {}

    void train(std::int64_t network, Monitor& monitor) {
        training_.take_part(network, network + 1, true, monitor, passes_, [&] { training_.turn(monitor); });
    }

    void go_on(const Straggler<T>& straggler, Monitor& monitor) {
        training_.continue_from(&straggler);
        train(straggler.network, monitor);
        training_.continue_from(nullptr);
    }

  private:
    Training<T> training_;
    Passes<T> passes_;
};

// The number of threads per network: one if there are as many networks as threads.
inline int members(const Network& network, int samples, int test_samples, std::int64_t networks, int threads) {
    if (networks >= threads) return 1;
    return std::clamp(threads, 1, std::max(shares(network, samples), test_samples > 0 ? shares(network, test_samples) : 1));
}

// Bytes that training such networks takes, without the task and the records.
template <class T>
std::int64_t bytes(const Network& network, int samples, int test_samples, std::int64_t networks, int threads) {
    const int together = members(network, samples, test_samples, networks, threads), cut = shares(network, samples);
    const std::int64_t teams = together == 1 ? std::min<std::int64_t>(networks, threads) : 1, slopes = Rows<T>::numbers(network);
    const std::int64_t effective = 3 * slopes + 6 * network.parameters, outputs = (1 + network.centred) * std::int64_t(network.outputs());
    std::int64_t numbers = (together == 1 ? std::min(2, cut) : cut) * slopes + effective + 2 * std::int64_t(cut) * network.units();
    numbers += (samples + std::int64_t(test_samples)) * (outputs + 3);
    return teams * (numbers * std::int64_t(sizeof(T)) + Slack<T>::bytes(network, samples) + 8 * std::int64_t(network.parameters) +
                    together * Passes<T>::bytes(network, std::max(samples, test_samples)));
}

// Trains the networks of the run from `first` on: one per thread if there are as many as threads, else one after another on all threads.
template <class T>
void train(const Run<T>& run, const DescentMethod<T>& method, std::int64_t first, int threads, const std::function<void(std::int64_t)>& poll) {
    const std::int64_t networks = run.networks - first;
    const int together = members(run.network, run.task.samples, run.test ? run.test->samples : 0, networks, threads);
    if (together == 1) {
        const auto make_worker = [&] {
            auto trainer = std::make_shared<Alone<T>>(run, method);
            return [trainer, first](std::int64_t network, Monitor& monitor) { trainer->train(first + network, monitor); };
        };
        return schedule(networks, threads, make_worker, poll);
    }
    Training<T> training(run, method, together);
    Progress progress;
    Monitor monitor(progress);
    const auto turn = [&]() noexcept { training.turn(monitor); };
    std::barrier meeting(together, turn);
    const auto body = [&](int member) {
        try {
            Passes<T> passes(run.network, run.loss, most_samples(run), run.tuning);
            training.take_part(first, run.networks, member == 0, monitor, passes, [&] { meeting.arrive_and_wait(); });
        } catch (...) {
            progress.stop();
            meeting.arrive_and_drop();
            throw;
        }
    };
    run_threads(together, progress, body, [&] { meeting.arrive_and_drop(); }, poll);
}

}  // namespace shoal::alone
