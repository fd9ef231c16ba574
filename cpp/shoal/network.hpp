// What is trained: layers of weights, and where each stands among the parameters of one network.
//
//   a_l = s_l W_l h_{l-1} + b_l,   h_l = phi(a_l),   h_0 = x,   f = a_N (the logit or logits), or a_N less what it is at the start
//
// with a scale s_l of each layer, and a rate r_l at which its weights and biases move: dW_l/dt = -r_l dL/dW_l.
#pragma once

#include "shoal/activation.hpp"

#include <algorithm>
#include <vector>

namespace shoal {

// Networks of so few parameters spend their time waiting for one another's results rather than in tiles: packs of several registers a number fill the gaps.
// Measured on AVX2, 2-4-1 with 8 samples: 1.7 times as many steps a second with four registers as with one; about even at 100 parameters.
constexpr int tiny_parameters = 48, tiny_registers = 4;

struct Layer {
    int inputs, outputs;
    int weights;  // offset of W (outputs x inputs, row by row) among the parameters
    int biases;   // offset of b, or -1
    double scale = 1, rate = 1;
};

struct Network {
    std::vector<Layer> layers;
    Activation activation;
    double slope;  // of leaky_relu for a < 0
    bool centred;  // the output is what it grew by since the start
    int parameters = 0;

    // Scales and rates are 1 where none are given.
    Network(const std::vector<int>& widths, Activation activation, double slope, bool bias, const std::vector<double>& scales = {},
            const std::vector<double>& rates = {}, bool centred = false)
        : activation(activation), slope(slope), centred(centred) {
        for (std::size_t l = 0; l + 1 < widths.size(); ++l) {
            Layer layer{widths[l], widths[l + 1], parameters, -1};
            if (!scales.empty()) layer.scale = scales[l];
            if (!rates.empty()) layer.rate = rates[l];
            parameters += layer.inputs * layer.outputs;
            if (bias) {
                layer.biases = parameters;
                parameters += layer.outputs;
            }
            layers.push_back(layer);
        }
    }

    int inputs() const { return layers.front().inputs; }

    // The same network for inputs of another dimension.
    friend Network with_inputs(const Network& network, int dimension) {
        Network other = network;
        const int more = (dimension - network.inputs()) * network.layers.front().outputs;
        other.layers.front().inputs = dimension;
        other.parameters += more;
        for (std::size_t l = 0; l < other.layers.size(); ++l) {
            Layer& layer = other.layers[l];
            if (l > 0) layer.weights += more;
            if (layer.biases >= 0) layer.biases += more;
        }
        return other;
    }

    // The same network with rates of 1.
    friend Network with_unit_rates(const Network& network) {
        Network other = network;
        for (Layer& layer : other.layers) layer.rate = 1;
        return other;
    }

    int outputs() const { return layers.back().outputs; }
    int hidden_layers() const { return int(layers.size()) - 1; }

    bool has_scales() const {
        return std::any_of(layers.begin(), layers.end(), [](const Layer& layer) { return layer.scale != 1; });
    }
    bool has_rates() const {
        return std::any_of(layers.begin(), layers.end(), [](const Layer& layer) { return layer.rate != 1; });
    }

    // of_weights(layer) for each weight and of_biases(layer) for each bias, in the order of the parameters.
    template <class T, class OfWeights, class OfBiases>
    std::vector<T> for_each_parameter(OfWeights&& of_weights, OfBiases&& of_biases) const {
        std::vector<T> numbers;
        numbers.reserve(parameters);
        for (const Layer& layer : layers) {
            numbers.insert(numbers.end(), std::size_t(layer.inputs) * layer.outputs, T(of_weights(layer)));
            if (layer.biases >= 0) numbers.insert(numbers.end(), layer.outputs, T(of_biases(layer)));
        }
        return numbers;
    }

    const Layer& last_hidden() const { return layers[hidden_layers() > 0 ? hidden_layers() - 1 : 0]; }

    // The hidden units of all layers together.
    int units() const {
        int sum = 0;
        for (int l = 0; l < hidden_layers(); ++l) sum += layers[l].outputs;
        return sum;
    }

    // One output behind a homogeneous activation (phi(a) = phi'(a) a): gradient.hpp then takes the output layer's gradient from the layer before.
    bool homogeneous_head() const { return hidden_layers() > 0 && outputs() == 1 && is_piecewise_linear(activation); }

    // ReLUs before it: all that the backward pass needs of the last hidden layer is which units are active.
    bool gates_last_hidden() const { return homogeneous_head() && activation.is<Relu>(); }

    // One hidden layer of them: their gates need no pass of their own.
    bool gated() const { return gates_last_hidden() && hidden_layers() == 1; }
};

}  // namespace shoal
