// What is trained: layers of weights, and where each stands among the parameters of one network.
//
//   a_l = W_l h_{l-1} + b_l,   h_l = phi(a_l),   h_0 = x,   f = a_N (the logit or logits)
#pragma once

#include "shoal/activation.hpp"

#include <vector>

namespace shoal {

struct Layer {
    int inputs, outputs;
    int weights;  // offset of W (outputs x inputs, row by row) among the parameters
    int biases;   // offset of b, or -1
};

struct Network {
    std::vector<Layer> layers;
    Activation activation;
    double slope;  // of leaky_relu for a < 0
    int parameters = 0;

    Network(const std::vector<int>& widths, Activation activation, double slope, bool bias) : activation(activation), slope(slope) {
        for (std::size_t l = 0; l + 1 < widths.size(); ++l) {
            Layer layer{widths[l], widths[l + 1], parameters, -1};
            parameters += layer.inputs * layer.outputs;
            if (bias) {
                layer.biases = parameters;
                parameters += layer.outputs;
            }
            layers.push_back(layer);
        }
    }

    int inputs() const { return layers.front().inputs; }
    int outputs() const { return layers.back().outputs; }
    int hidden_layers() const { return int(layers.size()) - 1; }

    const Layer& last_hidden() const { return layers[hidden_layers() > 0 ? hidden_layers() - 1 : 0]; }

    // The hidden units of all layers together.
    int units() const {
        int sum = 0;
        for (int l = 0; l < hidden_layers(); ++l) sum += layers[l].outputs;
        return sum;
    }

    // One output behind a homogeneous activation (phi(a) = phi'(a) a): gradient.hpp then takes the output layer's gradient from the layer before.
    bool homogeneous_head() const { return hidden_layers() > 0 && outputs() == 1 && is_piecewise_linear(activation); }

    // One hidden layer of ReLUs before it: the gates need no pass of their own.
    bool gated() const { return homogeneous_head() && hidden_layers() == 1 && activation == Activation::relu; }
};

}  // namespace shoal
