// The kinks of a training: surfaces in parameter space on which the gradient jumps or bends.
//
// Each surface is the zero set of a height. The height of a (leaky) ReLU for one sample is its pre-activation a; that of a hinge is threshold - y f. Above the
// surface the gate is open: the unit passes a on, or the hinge is unmet. Below it the gate is closed. With every gate held fixed, the gradient is a smooth
// function of the parameters on both sides of every surface.
#pragma once

#include "shoal/loss.hpp"
#include "shoal/network.hpp"
#include "shoal/pack.hpp"

namespace shoal {

// The kink of one unit for one sample, or of the hinge if the layer is the output layer.
struct Surface {
    int sample, layer, unit;
};

// Which layers have kinks, and the number of each kink among those of all samples.
struct KinkMap {
    int hidden_layers, hinge = -1, per_sample = 0;  // hinge: its place among the kinks of a sample, or -1
    bool units = false;  // whether hidden units have kinks
    bool jumps = false;  // whether the gradient jumps at the hinge: a squared hinge only bends
    double closed_unit = 0;  // the gate of a closed unit: the slope of a leaky ReLU
    std::vector<int> first;  // place of the first unit of each hidden layer

    KinkMap(const Network& network, const Loss& loss) : hidden_layers(network.hidden_layers()) {
        network.activation.with([&](auto phi) {
            units = phi.has_kink;
            if constexpr (decltype(phi)::has_kink) closed_unit = phi.closed_gate(network.slope);
        });
        for (int l = 0; l < hidden_layers; ++l) {
            first.push_back(per_sample);
            if (units) per_sample += network.layers[l].outputs;
        }
        jumps = loss.kink() == Kink::jump;
        if (network.outputs() == 1 && loss.kink() != Kink::none) hinge = per_sample++;
        units = units && hidden_layers > 0;
    }

    bool any() const { return per_sample > 0; }
    bool is_hinge(int layer) const { return layer == hidden_layers; }
    bool has(int layer) const { return is_hinge(layer) ? hinge >= 0 : units; }
    int place(int layer, int unit) const { return is_hinge(layer) ? hinge : first[layer] + unit; }
    double closed(int layer) const { return is_hinge(layer) ? 0.0 : closed_unit; }
    std::int64_t number(const Surface& surface) const { return std::int64_t(surface.sample) * per_sample + place(surface.layer, surface.unit); }

    Surface surface(std::int64_t number) const {
        const int sample = int(number / per_sample), place = int(number % per_sample);
        if (place == hinge) return {sample, hidden_layers, 0};
        int layer = hidden_layers - 1;
        while (first[layer] > place) --layer;
        return {sample, layer, place - first[layer]};
    }
};

// The gates of the networks of a pack, held fixed while the parameters move: 1 open, KinkMap::closed closed.
template <AnyLanes V>
struct HeldGates {
    KinkMap map;
    Pack<V> gates;  // samples x per_sample

    HeldGates(const Network& network, const Loss& loss, int samples) : map(network, loss), gates(std::int64_t(samples) * map.per_sample) {}
};

}  // namespace shoal
