// One call of training: chooses which networks train alone, and the pack for the others, and distributes them over threads.
#pragma once

#include "shoal/alone.hpp"
#include "shoal/descent.hpp"
#include "shoal/flow.hpp"
#include "shoal/schedule.hpp"

namespace shoal {

// Calls act(V()) with the lanes that suit this many networks on `threads` threads. The choice changes the speed, never the bits.
template <class T, class Act>
auto with_lanes(const Network& network, std::int64_t networks, int threads, Act&& act) {
    using Wide = Lanes<T, tiny_registers>;
    if (network.parameters <= tiny_parameters && networks >= std::int64_t(threads) * Wide::count) return act(Wide());
    return act(Lanes<T>());
}

// The last networks of a call, which do not fill a pack, train alone if there are no more packs per thread than this.
constexpr int few_rounds = 4;

// What the lanes hold: networks, or the samples of one network (descent only). All engines have the same bits; `automatic` is the fastest by a model.
enum class Engine { automatic, lanes, alone };

inline Engine engine_named(const std::string& name) {
    if (name == "auto") return Engine::automatic;
    if (name == "lanes") return Engine::lanes;
    if (name == "alone") return Engine::alone;
    throw std::invalid_argument("engine must be auto, lanes or alone, got " + name);
}

// How many of the networks train alone, the last ones: all of large networks, whose packs leave the cache; of small ones those that would fill few lanes.
template <class T>
std::int64_t networks_alone(const Network& network, int samples, std::int64_t networks, int threads, Engine engine, bool flows) {
    if (flows || engine == Engine::lanes) return 0;
    if (engine == Engine::alone) return networks;
    const double work = double(network.parameters) * samples;
    if ((network.parameters >= 10'000 && samples >= 256) || (network.parameters >= 1'000 && samples >= 20'000)) return networks;
    const int most = most_alone(work, Lanes<T>::count);
    const std::int64_t together = std::int64_t(Lanes<T>::count) * threads, rest = networks % together, each = (rest + threads - 1) / threads;
    return networks < few_rounds * together && each <= most ? rest : 0;
}

// Trains all networks of the run by the method. Calls `poll(done)` from this thread every 50 ms and at the end; `done` counts network-steps of descent, or
// networks of a flow. If it throws, training stops.
template <class T, class Method>
void train(const Run<T>& run, const Method& method, Engine engine, int threads, const std::function<void(std::int64_t)>& poll) {
    constexpr bool flows = !std::is_same_v<Method, DescentMethod<T>>;
    if (flows && engine == Engine::alone) throw std::invalid_argument("engine must be auto or lanes for a flow");
    const std::int64_t alone = networks_alone<T>(run.network, run.task.learnt, run.networks, threads, engine, flows), in_lanes = run.networks - alone;
    std::int64_t done = 0;
    if (in_lanes > 0)
        with_lanes<T>(run.network, in_lanes, threads, [&](auto lanes) {
            using V = decltype(lanes);
            const auto make_worker = [&] {
                auto trainer = std::make_shared<typename Method::template Trainer<V>>(run, method);
                return [trainer](Queue& queue, Monitor& monitor) { trainer->train(queue, monitor); };
            };
            work_through(in_lanes, V::count, threads, make_worker, [&](std::int64_t now) { poll(done = now); });
        });
    if constexpr (!flows)
        if (alone > 0) alone::train(run, method, in_lanes, threads, [&](std::int64_t now) { poll(done + now); });
}

template <class T, class Method>
void train(const Run<T>& run, const Method& method, int threads, const std::function<void(std::int64_t)>& poll) {
    train(run, method, Engine::automatic, threads, poll);
}

}  // namespace shoal
