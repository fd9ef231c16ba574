// One network of a pack, one sample at a time, in plain numbers: for questions at its kinks (kinks.hpp), where the lanes of a pack have nothing in common.
//
// Directions and slopes use the coordinates u = theta / sqrt(rate), in which gradient flow is u' = -dL/du whatever the rates of the layers. In these
// coordinates the velocity jumps along the normal of a surface.
#pragma once

#include "shoal/cohort.hpp"
#include "shoal/gradient.hpp"

#include <cmath>

namespace shoal {

template <AnyLanes V>
class Single {
  public:
    using T = typename V::Scalar;

    Single(const Run<T>& run, const Gradient<V>& gradient, const KinkMap& map) : run_(run), gradient_(gradient), map_(map) {
        const Network& network = run.network;
        for (const Layer& layer : network.layers)
            for (auto* of_layer : {&values_, &heights_, &sizes_, &tangents_, &signals_}) of_layer->emplace_back(layer.outputs);
        roots_ = network.for_each_parameter<double>([](const Layer& l) { return std::sqrt(l.rate); }, [](const Layer& l) { return std::sqrt(l.rate); });
        factors_ =
            network.for_each_parameter<double>([](const Layer& l) { return std::sqrt(l.rate) * l.scale; }, [](const Layer& l) { return std::sqrt(l.rate); });
        theta_.resize(network.parameters);
    }

    double root(int parameter) const { return roots_[parameter]; }

    void load(const Pack<V>& parameters, int lane) {
        lane_ = lane;
        double square = 0.0;
        for (int n = 0; n < run_.network.parameters; ++n) {
            const double theta = parameters.at(n)[lane], u = theta / roots_[n];
            theta_[n] = factors_[n] / roots_[n] * theta;
            square += u * u;
        }
        length_ = std::sqrt(square);
    }
    // The norm of u.
    double length() const { return length_; }

    // An effective parameter: with its scale.
    double weight(int parameter) const { return theta_[parameter]; }

    // Runs a sample forward with these gates, `per_sample` of them.
    void forward(int sample, const double* gates) { run_forward<false>(sample, gates); }
    // Runs a sample forward with the gates that the heights give, and writes these gates.
    void forward_by_heights(int sample, double* gates) { run_forward<true>(sample, gates); }
    // Valid after `forward`.
    double height(const Surface& surface) const { return heights_[surface.layer][surface.unit]; }
    // The sum of the magnitudes of the terms of a height: its rounding error is some ulps of this.
    double size(const Surface& surface) const { return sizes_[surface.layer][surface.unit]; }

    // Computes how fast the heights of the sample change if u moves along `direction`. `see(layer, unit, rate)` may change the gate of a unit before its rate
    // passes on.
    template <class See>
    void rates(int sample, const double* gates, const double* direction, See&& see);

    // Writes the derivative of a height with respect to u.
    void normal(const Surface& surface, const double* gates, double* to);

    // Adds factor x the velocity du/dt that the sample causes.
    void add_velocity(int sample, const double* gates, double factor, double* to);

    // Returns the pull on a unit's pre-activation, -dL/da with the unit open, from the sample that was run forward with these gates.
    double pull(const Surface& surface, double* gates, double* scratch) {
        gates[map_.place(surface.layer, surface.unit)] = 1.0;
        add_velocity(surface.sample, gates, 0.0, scratch);
        return signals_[surface.layer][surface.unit];
    }
    // Appends what a unit of the layer gets from the sample: the values below, and 1 for its bias.
    void add_heard(int sample, int layer, std::vector<double>& to) const {
        to.insert(to.end(), below(sample, layer), below(sample, layer) + run_.network.layers[layer].inputs);
        if (run_.network.layers[layer].biases >= 0) to.push_back(1.0);
    }

  private:
    template <bool by_heights, class Gates>
    void run_forward(int sample, Gates* gates);
    const T* below(int sample, int layer) const {
        return layer == 0 ? run_.task.inputs.data() + std::int64_t(sample) * run_.task.dimension : values_[layer - 1].data();
    }
    double derivative(int layer, int unit, const double* gates) const;
    void find_output_signal(int sample, const double* gates);
    void pull_back(int sample, const double* gates, int layer, double factor, double* to);

    const Run<T>& run_;
    const Gradient<V>& gradient_;  // has the outputs at initialisation
    const KinkMap& map_;
    std::vector<double> roots_, factors_;  // per parameter: the root of its rate; d(effective parameter)/du
    std::vector<double> theta_;  // effective
    double length_ = 0;
    int lane_ = 0;
    std::vector<std::vector<double>> values_, heights_, sizes_, tangents_, signals_;  // one per layer
};

template <AnyLanes V>
template <bool by_heights, class Gates>
void Single<V>::run_forward(int sample, Gates* gates) {
    const Network& network = run_.network;
    const auto see_height = [&](int l, int o) {
        if constexpr (by_heights)
            if (map_.has(l)) gates[map_.place(l, o)] = heights_[l][o] > 0 ? 1.0 : map_.closed(l);
    };
    for (int l = 0; l < int(network.layers.size()); ++l) {
        const Layer& layer = network.layers[l];
        const T* const h = below(sample, l);
        for (int o = 0; o < layer.outputs; ++o) {
            const double* const w = theta_.data() + layer.weights + o * layer.inputs;
            const double bias = layer.biases < 0 ? 0.0 : theta_[layer.biases + o];
            double a = bias, size = std::abs(bias);
            for (int i = 0; i < layer.inputs; ++i) {
                a += w[i] * h[i];
                size += std::abs(w[i]) * (l == 0 ? std::abs(double(h[i])) : sizes_[l - 1][i]);
            }
            if (l < map_.hidden_layers) {
                heights_[l][o] = a;
                sizes_[l][o] = size;
                see_height(l, o);
                if (map_.units) {
                    values_[l][o] = gates[map_.place(l, o)] * a;
                } else {
                    alignas(64) T value[Lanes<T>::count];
                    activate(network.activation, Lanes<T>(a), Lanes<T>(network.slope)).store(value);
                    values_[l][o] = value[0];
                }
            } else {
                const double start = gradient_.at_start(sample, o, lane_), y = run_.task.sign(sample);
                values_[l][o] = a - start;
                heights_[l][o] = run_.loss.threshold - y * values_[l][o];
                sizes_[l][o] = size + std::abs(start) + std::abs(run_.loss.threshold);
                see_height(l, o);
            }
        }
    }
}

// phi'(a).
template <AnyLanes V>
double Single<V>::derivative(int layer, int unit, const double* gates) const {
    if (map_.units) return gates[map_.place(layer, unit)];
    alignas(64) T slope[Lanes<T>::count];
    const double kept = (run_.network.keeps_pre_activations(layer) ? heights_ : values_)[layer][unit];
    times_derivative(run_.network.activation, Lanes<T>(T(kept)), Lanes<T>(T(1)), Lanes<T>(T(run_.network.slope))).store(slope);
    return slope[0];
}

template <AnyLanes V>
template <class See>
void Single<V>::rates(int sample, const double* gates, const double* direction, See&& see) {
    const Network& network = run_.network;
    for (int l = 0; l < int(network.layers.size()); ++l) {
        const Layer& layer = network.layers[l];
        const T* const h = below(sample, l);
        for (int o = 0; o < layer.outputs; ++o) {
            const int first = layer.weights + o * layer.inputs;
            double rate = layer.biases < 0 ? 0.0 : factors_[layer.biases + o] * direction[layer.biases + o];
            for (int i = 0; i < layer.inputs; ++i) {
                rate += factors_[first + i] * direction[first + i] * h[i];
                if (l > 0) rate += theta_[first + i] * tangents_[l - 1][i];
            }
            if (l < map_.hidden_layers) {
                see(l, o, rate);
                tangents_[l][o] = derivative(l, o, gates) * rate;
            } else if (map_.hinge >= 0) {
                see(l, o, -double(run_.task.labels[sample]) * rate);
            }
        }
    }
}

// -dL/df of the sample.
template <AnyLanes V>
void Single<V>::find_output_signal(int sample, const double* gates) {
    const int top = map_.hidden_layers, outputs = run_.network.outputs();
    const std::vector<double>& f = values_[top];
    std::vector<double>& signal = signals_[top];
    const double p = run_.task.weights[sample], y = run_.task.sign(sample);
    alignas(64) T number[Lanes<T>::count];
    if (map_.hinge >= 0) {
        const double gate = gates[map_.hinge];
        signal[0] = p * y * (map_.jumps ? gate : gate * (run_.loss.threshold - y * f[0]));
    } else if (!run_.task.targets.empty()) {
        for (int k = 0; k < outputs; ++k) signal[k] = p * (run_.task.target(sample, k) - f[k]);
    } else if (outputs == 1) {
        run_.loss.residual(Lanes<T>(T(y * f[0]))).store(number);
        signal[0] = p * y * number[0];
    } else {
        const double largest = *std::max_element(f.begin(), f.end());
        double sum = 0.0;
        for (int k = 0; k < outputs; ++k) {
            exp(Lanes<T>(T(f[k] - largest))).store(number);
            sum += signal[k] = number[0];
        }
        for (int k = 0; k < outputs; ++k) signal[k] = p * ((k == run_.task.labels[sample]) - signal[k] / sum);
    }
    for (int k = 0; k < outputs; ++k) signal[k] -= run_.penalty.spectral_decoupling * p * f[k];
}

// Adds factor x the derivative with respect to u of a layer's sums, each times its signal, and of everything below on which they depend.
template <AnyLanes V>
void Single<V>::pull_back(int sample, const double* gates, int layer, double factor, double* to) {
    const Network& network = run_.network;
    for (int l = layer; l >= 0; --l) {
        const Layer& at = network.layers[l];
        const T* const h = below(sample, l);
        if (l > 0) std::fill(signals_[l - 1].begin(), signals_[l - 1].end(), 0.0);
        for (int o = 0; o < at.outputs; ++o) {
            const double signal = signals_[l][o];
            if (signal == 0) continue;
            const int first = at.weights + o * at.inputs;
            for (int i = 0; i < at.inputs; ++i) {
                to[first + i] += factor * signal * factors_[first + i] * h[i];
                if (l > 0) signals_[l - 1][i] += signal * theta_[first + i];
            }
            if (at.biases >= 0) to[at.biases + o] += factor * signal * factors_[at.biases + o];
        }
        if (l > 0)
            for (std::size_t i = 0; i < signals_[l - 1].size(); ++i) signals_[l - 1][i] *= derivative(l - 1, int(i), gates);
    }
}

template <AnyLanes V>
void Single<V>::normal(const Surface& surface, const double* gates, double* to) {
    std::fill_n(to, run_.network.parameters, 0.0);
    std::fill(signals_[surface.layer].begin(), signals_[surface.layer].end(), 0.0);
    signals_[surface.layer][surface.unit] = map_.is_hinge(surface.layer) ? -double(run_.task.labels[surface.sample]) : 1.0;
    pull_back(surface.sample, gates, surface.layer, 1.0, to);
}

template <AnyLanes V>
void Single<V>::add_velocity(int sample, const double* gates, double factor, double* to) {
    find_output_signal(sample, gates);
    pull_back(sample, gates, map_.hidden_layers, factor, to);
}

}  // namespace shoal
