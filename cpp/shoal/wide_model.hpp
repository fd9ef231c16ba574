// One wide network between two steps: its parameters, the effective weights as the passes read them, and the gradient of one share of the samples.
#pragma once

#include "shoal/cohort.hpp"
#include "shoal/wide_plan.hpp"

namespace shoal::wide {

// The gradient of one network, with units in the lanes. "Above" means the units that a layer leads to, "below" those that it comes from.
template <class T>
struct Slopes {
    using V = Lanes<T>;

    explicit Slopes(const Network& network) {
        for (const Layer& layer : network.layers) {
            const bool head = &layer == &network.layers.back();
            weights.emplace_back(head ? std::int64_t(groups<V>(layer.inputs)) * layer.outputs : std::int64_t(groups<V>(layer.outputs)) * layer.inputs);
            biases.emplace_back(layer.biases < 0 ? 0 : groups<V>(layer.outputs));
        }
    }

    static std::int64_t numbers(const Network& network) {
        std::int64_t sum = 0;
        for (const Layer& layer : network.layers) {
            const bool head = &layer == &network.layers.back();
            sum += head ? filled<T>(layer.inputs) * layer.outputs : filled<T>(layer.outputs) * layer.inputs;
            sum += layer.biases < 0 ? 0 : filled<T>(layer.outputs);
        }
        return sum;
    }

    void add(const Slopes& other) {
        for (std::size_t l = 0; l < weights.size(); ++l) weights[l].add(other.weights[l]), biases[l].add(other.biases[l]);
    }

    std::vector<Pack<V>> weights;  // hidden layers: [group above][input]; the head: [group below][output]
    std::vector<Pack<V>> biases;   // [group above]
};

template <class T>
class Model {
  public:
    using V = Lanes<T>;
    static constexpr int L = V::count;

    Model(const Network& network, const Penalty& penalty)
        : parameters(network.parameters), network_(network), decay_(penalty.weight_decay), scaled_(network.has_scales() || network.has_rates()) {
        for (std::size_t l = 0; l < network.layers.size(); ++l) {
            const Layer& layer = network.layers[l];
            above.emplace_back(reads_above(int(l)) ? std::int64_t(groups<V>(layer.outputs)) * layer.inputs : 0);
            below.emplace_back(l > 0 ? std::int64_t(groups<V>(layer.inputs)) * layer.outputs : 0);
            biases.emplace_back(layer.biases < 0 ? 0 : groups<V>(layer.outputs));
        }
    }

    // Computes the effective weights of all layers from the parameters.
    void load() {
        for (int l = 0; l < int(network_.layers.size()); ++l) {
            const Layer& layer = network_.layers[l];
            for (int o = 0; o < layer.outputs; ++o) {
                for (int k = 0; k < layer.inputs; ++k) put(l, o, k, T(layer.scale) * parameters[layer.weights + std::int64_t(o) * layer.inputs + k]);
                if (layer.biases >= 0) biases[l].lane(o / L, o % L) = parameters[layer.biases + o];
            }
        }
    }

    // Takes one step with a part of the parameters, by the gradients of all shares, summed in order. Parts are groups of units above hidden layers, then groups
    // of units below the head, then the head's biases. Returns what `gather_not_finite` saw.
    V move(int part, const std::vector<Slopes<T>>& shares, V minus_rate) {
        V seen = 0;
        const int head = network_.hidden_layers();
        for (int l = 0; l < head; ++l) {
            const Layer& layer = network_.layers[l];
            if (part >= groups<V>(layer.outputs)) {
                part -= groups<V>(layer.outputs);
                continue;
            }
            const int units = std::clamp(layer.outputs - part * L, 0, L);
            const std::int64_t first = layer.weights + std::int64_t(part) * L * layer.inputs;
            for (int k = 0; k < layer.inputs; ++k) {
                const V slope = sum(shares, [&](const Slopes<T>& share) { return share.weights[l][std::int64_t(part) * layer.inputs + k]; });
                const auto each = [&](int unit, T moved) { put(l, part * L + unit, k, T(layer.scale) * moved); };
                seen = step(first + k, layer.inputs, units, weight_gain(layer), layer, slope, minus_rate, seen, each);
            }
            return move_biases(l, part, shares, minus_rate, seen);
        }
        const Layer& layer = network_.layers[head];
        if (part < groups<V>(layer.inputs)) {
            const int units = std::clamp(layer.inputs - part * L, 0, L);
            for (int o = 0; o < layer.outputs; ++o) {
                const V slope = sum(shares, [&](const Slopes<T>& share) { return share.weights[head][std::int64_t(part) * layer.outputs + o]; });
                const auto each = [&](int unit, T moved) { put(head, o, part * L + unit, T(layer.scale) * moved); };
                seen = step(layer.weights + std::int64_t(o) * layer.inputs + part * L, 1, units, weight_gain(layer), layer, slope, minus_rate, seen, each);
            }
            return seen;
        }
        return move_biases(head, part - groups<V>(layer.inputs), shares, minus_rate, seen);
    }

    // Writes the gradient of all shares, for rates of 1, over the parameters at which it was taken: those of the model may have moved since.
    void write_gradient(const std::vector<Slopes<T>>& shares, std::vector<T>& to) const {
        for (int l = 0; l < int(network_.layers.size()); ++l) {
            const Layer& layer = network_.layers[l];
            const bool head = l == network_.hidden_layers();
            const int along = head ? layer.inputs : layer.outputs, across = head ? layer.outputs : layer.inputs;  // the units in the lanes, and the others
            for (int group = 0; group < groups<V>(along); ++group)
                for (int k = 0; k < across; ++k) {
                    const V slope = sum(shares, [&](const Slopes<T>& share) { return share.weights[l][std::int64_t(group) * across + k]; });
                    const std::int64_t first = head ? std::int64_t(k) * layer.inputs + group * L : std::int64_t(group) * L * layer.inputs + k;
                    write_slopes(layer.weights + first, head ? 1 : layer.inputs, along - group * L, V(T(layer.scale)) * slope, to);
                }
            for (int group = 0; layer.biases >= 0 && group < groups<V>(layer.outputs); ++group)
                write_slopes(layer.biases + group * L, 1, layer.outputs - group * L,
                             sum(shares, [&](const Slopes<T>& share) { return share.biases[l][group]; }), to);
        }
    }

    int parts() const {
        int count = groups<V>(network_.layers.back().inputs) + (network_.layers.back().biases < 0 ? 0 : groups<V>(network_.outputs()));
        for (int l = 0; l < network_.hidden_layers(); ++l) count += groups<V>(network_.layers[l].outputs);
        return count;
    }

    std::vector<T> parameters;             // in the order of Network
    std::vector<Pack<V>> above, below;  // effective weights: [group above][input], [group below][output]
    std::vector<Pack<V>> biases;

    // Whether the passes read `above` of a layer. A single output is a sum over the units below it, with `below` alone.
    bool reads_above(int l) const { return l < network_.hidden_layers() || network_.outputs() > 1; }

  private:
    void put(int l, int o, int k, T effective) {
        const Layer& layer = network_.layers[l];
        if (reads_above(l)) above[l].lane(std::int64_t(o / L) * layer.inputs + k, o % L) = effective;
        if (l > 0) below[l].lane(std::int64_t(k / L) * layer.outputs + o, k % L) = effective;
    }

    T weight_gain(const Layer& layer) const { return T(layer.rate * layer.scale); }

    // Writes the slopes of parameters first, first + apart, ..., at most L of them, with the part of weight decay.
    void write_slopes(std::int64_t first, std::int64_t apart, int left, V slope, std::vector<T>& to) const {
        const int units = std::clamp(left, 0, L);
        alignas(64) T numbers[L] = {};
        for (int unit = 0; unit < units; ++unit) numbers[unit] = to[first + unit * apart];
        if (decay_ != 0) slope = fma(V(T(decay_)), V::load(numbers), slope);
        slope.store(numbers);
        for (int unit = 0; unit < units; ++unit) to[first + unit * apart] = numbers[unit];
    }

    template <class Of>
    static V sum(const std::vector<Slopes<T>>& shares, Of&& of) {
        V all = of(shares[0]);
        for (std::size_t n = 1; n < shares.size(); ++n) all = all + of(shares[n]);
        return all;
    }

    V move_biases(int l, int group, const std::vector<Slopes<T>>& shares, V minus_rate, V seen) {
        const Layer& layer = network_.layers[l];
        if (layer.biases < 0) return seen;
        const V slope = sum(shares, [&](const Slopes<T>& share) { return share.biases[l][group]; });
        const auto each = [&](int unit, T moved) { biases[l].lane(group, unit) = moved; };
        const int units = std::clamp(layer.outputs - group * L, 0, L);
        return step(layer.biases + group * L, 1, units, T(layer.rate), layer, slope, minus_rate, seen, each);
    }

    // Moves parameters first, first + apart, ... by the first `units` lanes of their slopes; `each(unit, moved)` receives the new values.
    template <class Each>
    V step(std::int64_t first, std::int64_t apart, int units, T gain, const Layer& layer, V slope, V minus_rate, V seen, Each&& each) {
        alignas(64) T numbers[L];
        slope.store(numbers);
        std::fill(numbers + units, numbers + L, T(0));
        slope = V::load(numbers);
        for (int unit = 0; unit < units; ++unit) numbers[unit] = parameters[first + unit * apart];
        const V theta = V::load(numbers);
        if (scaled_) slope = V(gain) * slope;
        if (decay_ != 0) slope = fma(V(T(scaled_ ? layer.rate * decay_ : decay_)), theta, slope);
        const V moved = fma(minus_rate, slope, theta);
        moved.store(numbers);
        for (int unit = 0; unit < units; ++unit) {
            parameters[first + unit * apart] = numbers[unit];
            each(unit, numbers[unit]);
        }
        return gather_not_finite(seen, moved);
    }

    const Network& network_;
    double decay_;
    bool scaled_;
};

}  // namespace shoal::wide
