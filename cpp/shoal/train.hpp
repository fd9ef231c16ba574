// One call of training: chooses the engine and the pack for the networks, and distributes packs over threads.
#pragma once

#include "shoal/descent.hpp"
#include "shoal/flow.hpp"
#include "shoal/schedule.hpp"
#include "shoal/wide.hpp"

namespace shoal {

// Calls act(V()) with the lanes that suit this many networks on `threads` threads. The choice changes the speed, never the bits.
template <class T, class Act>
auto with_lanes(const Network& network, std::int64_t networks, int threads, Act&& act) {
    using Wide = Lanes<T, tiny_registers>;
    if (network.parameters <= tiny_parameters && networks >= std::int64_t(threads) * Wide::count) return act(Wide());
    return act(Lanes<T>());
}

// What the lanes hold: networks, or the units of one network (descent only).
enum class Engine { lanes, wide };

inline Engine engine_named(const std::string& name) {
    if (name == "lanes") return Engine::lanes;
    if (name == "wide") return Engine::wide;
    throw std::invalid_argument("engine must be lanes or wide, got " + name);
}

// Trains all networks of the run by the method. Calls `poll(done)` from this thread every 50 ms and at the end; `done` counts network-steps of descent, or
// networks of a flow. If it throws, training stops.
template <class T, class Method>
void train(const Run<T>& run, const Method& method, Engine engine, int threads, const std::function<void(std::int64_t)>& poll) {
    if (engine == Engine::wide) {
        if constexpr (std::is_same_v<Method, DescentMethod<T>>)
            if (run.network.hidden_layers() > 0) return wide::train(run, method, threads, poll);
        throw std::invalid_argument("engine must be lanes for a flow, and for a network without hidden layers");
    }
    with_lanes<T>(run.network, run.networks, threads, [&](auto lanes) {
        using V = decltype(lanes);
        const auto make_worker = [&] {
            auto trainer = std::make_shared<typename Method::template Trainer<V>>(run, method);
            return [trainer](Queue& queue, Monitor& monitor) { trainer->train(queue, monitor); };
        };
        work_through(run.networks, V::count, threads, make_worker, poll);
    });
}

template <class T, class Method>
void train(const Run<T>& run, const Method& method, int threads, const std::function<void(std::int64_t)>& poll) {
    train(run, method, Engine::lanes, threads, poll);
}

}  // namespace shoal
