// The initialisation of a network: its parameters as a function of (seed, network index), in double precision whatever the dtype of training.
//
//   gaussian    W_l ~ N(0, scale_l^2)
//   balanced    |weights into a hidden unit| / sqrt(their rate) = |weights out of it| / sqrt(their rate): every balance invariant is 0
//   separated   each hidden unit of a two-layer network is active on one mode only
//   unit        weights into a hidden unit of a two-layer network: a uniform direction, times a given norm
//   explicit    given, one array per layer
//
// All but explicit ones may be paired: the units 2k and 2k + 1 of the last hidden layer have equal weights into them and opposite weights out of them.
#pragma once

#include "shoal/network.hpp"
#include "shoal/random.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace shoal {

enum class StartKind { gaussian, balanced, separated, unit, explicit_weights };
enum class Side { none, positive, negative, both };

struct Start {
    StartKind kind;
    std::vector<double> scales;    // gaussian: one per layer; balanced: one; separated: first layer, output layer; unit: the norm of each hidden unit
    std::vector<double> directions;  // separated: orthonormal rows, indexed by mode_direction
    std::vector<std::int64_t> mode_direction;  // separated: mode -> row of directions
    std::vector<double> mode_sign;             // separated: the mode's input is sign * norm * direction
    std::vector<Side> row_side;                // separated: the side of each direction on which its modes lie
    std::vector<const double*> weights, biases;  // explicit: (networks, outputs, inputs) and (networks, outputs) per layer
    std::vector<double> outputs = {};  // unit: the output weight of each hidden unit; empty if they are balanced, with random signs
    bool paired = false;

    static Start separated(std::vector<double> scales, std::vector<double> directions, std::vector<std::int64_t> mode_direction, std::vector<double> mode_sign);
    void draw(const Network& network, std::uint64_t seed, std::int64_t index, std::int64_t position, double* parameters) const;

  private:
    void set_norms(const Network& network, double* parameters) const;
    void pair(const Network& network, double* parameters) const;
    void balance(const Network& network, double* parameters) const;
    void separate(const Network& network, double* parameters) const;
};

inline Start Start::separated(std::vector<double> scales, std::vector<double> directions, std::vector<std::int64_t> mode_direction,
                              std::vector<double> mode_sign) {
    std::vector<Side> sides(mode_direction.empty() ? 0 : *std::max_element(mode_direction.begin(), mode_direction.end()) + 1, Side::none);
    for (std::size_t mode = 0; mode < mode_direction.size(); ++mode) {
        Side& side = sides[mode_direction[mode]];
        const Side own = mode_sign[mode] > 0 ? Side::positive : Side::negative;
        side = side == Side::none || side == own ? own : Side::both;
    }
    return {StartKind::separated, std::move(scales), std::move(directions), std::move(mode_direction), std::move(mode_sign), std::move(sides), {}, {}};
}

// Draws the parameters of a network. `index` is its key in the draws, `position` its row in explicit weights.
inline void Start::draw(const Network& network, std::uint64_t seed, std::int64_t index, std::int64_t position, double* parameters) const {
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
        const Layer& layer = network.layers[l];
        const std::int64_t size = std::int64_t(layer.inputs) * layer.outputs;
        double *w = parameters + layer.weights, *b = layer.biases < 0 ? nullptr : parameters + layer.biases;
        if (kind == StartKind::explicit_weights) {
            std::copy_n(weights[l] + position * size, size, w);
            if (b) std::copy_n(biases[l] + position * layer.outputs, layer.outputs, b);
            continue;
        }
        draw_normals(seed, std::uint64_t(index), std::uint32_t(l), size, w);
        const double scale = kind == StartKind::unit ? 1.0 : kind == StartKind::balanced ? scales[0] : scales[l];
        for (std::int64_t n = 0; n < size; ++n) w[n] *= scale;
        if (b) std::fill_n(b, layer.outputs, 0.0);
    }
    if (kind == StartKind::unit) set_norms(network, parameters);
    if (paired) pair(network, parameters);
    if (kind == StartKind::balanced) balance(network, parameters);
    if (kind == StartKind::separated) separate(network, parameters);
}

// Gives the weights into each hidden unit their norm. The direction of a normal vector is uniform; one of length 0, of probability 2^-53 in two dimensions and
// less in more, becomes the first axis. Balanced output weights keep their sign: their size is that norm times the root of the ratio of the rates.
inline void Start::set_norms(const Network& network, double* parameters) const {
    const Layer &in = network.layers[0], &out = network.layers[1];
    const double faster = std::sqrt(out.rate / in.rate);
    for (int unit = 0; unit < in.outputs; ++unit) {
        double* const w = parameters + in.weights + std::int64_t(unit) * in.inputs;
        double square = 0.0;
        for (int k = 0; k < in.inputs; ++k) square += w[k] * w[k];
        if (square == 0.0) w[0] = square = 1.0;
        const double length = std::sqrt(square);
        for (int k = 0; k < in.inputs; ++k) w[k] = scales[unit] * (w[k] / length);
        double& z = parameters[out.weights + unit];
        z = outputs.empty() ? std::copysign(faster * scales[unit], z) : outputs[unit];
    }
}

// Copies the weights into each even unit of the last hidden layer to the next one, and the weights out of it with the other sign.
inline void Start::pair(const Network& network, double* parameters) const {
    const Layer &in = network.last_hidden(), &out = network.layers.back();
    for (int unit = 0; unit + 1 < in.outputs; unit += 2) {
        double *const w = parameters + in.weights + std::int64_t(unit) * in.inputs, *const z = parameters + out.weights + unit;
        std::copy_n(w, in.inputs, w + in.inputs);
        for (int o = 0; o < out.outputs; ++o) z[std::int64_t(o) * out.inputs + 1] = -z[std::int64_t(o) * out.inputs];
    }
}

// Scales the outgoing weights of each hidden unit, whose direction is isotropic. Their norm becomes that of the incoming weights times the root of the ratio of
// the rates.
inline void Start::balance(const Network& network, double* parameters) const {
    for (int l = 0; l < network.hidden_layers(); ++l) {
        const Layer &in = network.layers[l], &out = network.layers[l + 1];
        const double faster = std::sqrt(out.rate / in.rate);
        for (int unit = 0; unit < in.outputs; ++unit) {
            double incoming = 0.0, outgoing = 0.0;
            for (int k = 0; k < in.inputs; ++k) {
                const double w = parameters[in.weights + unit * in.inputs + k];
                incoming += w * w;
            }
            for (int o = 0; o < out.outputs; ++o) {
                const double w = parameters[out.weights + o * out.inputs + unit];
                outgoing += w * w;
            }
            const double ratio = outgoing > 0.0 ? faster * std::sqrt(incoming / outgoing) : 0.0;
            for (int o = 0; o < out.outputs; ++o) parameters[out.weights + o * out.inputs + unit] *= ratio;
        }
    }
}

// Reflects each first-layer row along every direction that carries a mode, so that unit i (of pairs: pair i) is active on mode i % modes only. Along a
// direction of other modes of both signs, only a component of 0 is inactive on both.
inline void Start::separate(const Network& network, double* parameters) const {
    const Layer& first = network.layers.front();
    const int dimension = first.inputs, rows = int(row_side.size()), modes = int(mode_direction.size());
    for (int unit = 0; unit < first.outputs; ++unit) {
        double* w = parameters + first.weights + std::int64_t(unit) * dimension;
        const int own = (paired ? unit / 2 : unit) % modes;
        for (int row = 0; row < rows; ++row) {
            const double* direction = directions.data() + std::int64_t(row) * dimension;
            double along = 0.0;
            for (int k = 0; k < dimension; ++k) along += w[k] * direction[k];
            double wanted = row_side[row] == Side::both ? 0.0 : row_side[row] == Side::positive ? -std::abs(along) : std::abs(along);
            if (row == mode_direction[own]) wanted = mode_sign[own] > 0 ? std::abs(along) : -std::abs(along);
            for (int k = 0; k < dimension; ++k) w[k] += (wanted - along) * direction[k];
        }
    }
}

}  // namespace shoal
