// What is trained: layers of weights, and their offsets among the parameters of one network.
//
//   a_l = s_l W_l h_{l-1} + b_l,   h_l = phi(a_l),   h_0 = x,   f = a_N (the logit or logits); if centred, f = a_N minus its value at initialisation
//
// with a scale s_l per layer, and a rate r_l at which its weights and biases move: dW_l/dt = -r_l dL/dW_l.
#pragma once

#include "shoal/activation.hpp"

#include <algorithm>
#include <vector>

namespace shoal {

// Networks with so few parameters wait for the latency of dependent results rather than fill tiles. Packs with several registers per number fill the gaps.
// Measured on AVX2, 2-4-1 with 8 samples: four registers take 1.7 times as many steps per second as one; at 100 parameters they are about even.
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
    bool centred;  // the output is the difference from its value at initialisation
    int parameters = 0;

    // Scales and rates are 1 if none are given.
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

    // Returns of_weights(layer) per weight and of_biases(layer) per bias, in the order of the parameters.
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

    // The number of hidden units in all layers.
    int units() const {
        int sum = 0;
        for (int l = 0; l < hidden_layers(); ++l) sum += layers[l].outputs;
        return sum;
    }

    // Whether a single output follows a homogeneous activation (phi(a) = phi'(a) a). gradient.hpp then derives the output layer's gradient from that of the
    // layer before.
    bool homogeneous_head() const { return hidden_layers() > 0 && outputs() == 1 && is_piecewise_linear(activation); }

    // Whether that activation is ReLU: the backward pass then needs only which units of the last hidden layer are active.
    bool gates_last_hidden() const { return homogeneous_head() && activation.is<Relu>(); }

    // Whether there is just one such hidden layer: its gates are then applied within the weight gradient.
    bool gated() const { return gates_last_hidden() && hidden_layers() == 1; }

    // Whether a single output follows a curved activation: gradient_head.hpp.
    bool curved_head() const { return hidden_layers() > 0 && outputs() == 1 && !is_piecewise_linear(activation); }

    // Whether the passes keep the pre-activations of a layer beside its values.
    bool keeps_pre_activations(int layer) const { return layer < hidden_layers() && keeps_pre_activation(activation); }
};

}  // namespace shoal
