// Small runs for tests: a task drawn from Philox, a network, and arrays for everything that can be recorded.
#pragma once

#include "shoal/train.hpp"

#include <bit>
#include <cstring>
#include <string>
#include <vector>

namespace runs {

struct Setting {
    std::vector<int> widths;
    std::string activation = "relu", loss = "cross_entropy";
    bool bias = true;
    shoal::StartKind start = shoal::StartKind::gaussian;
    int samples = 7;
    std::int64_t networks = 9, steps = 12, first = 5;
    std::vector<std::int64_t> record_steps{0, 5, 12};
    std::uint64_t seed = 20;
    double rate = 0.125;
};

// A run and the arrays that it writes. `Run` points into them, so an Outcome stays where it was made.
template <class T>
struct Outcome {
    shoal::Run<T> run;
    std::vector<std::vector<T>> arrays;
    std::vector<std::int8_t> status;
    std::vector<std::int64_t> diverged_at;

    explicit Outcome(const Setting& s) : run{network(s), task(s), shoal::Loss(s.loss, 1.0), start(s), T(s.rate), s.steps, {}, s.networks, s.first, s.seed} {
        const shoal::Network& net = run.network;
        const std::int64_t times = std::int64_t(s.record_steps.size()), layers = std::int64_t(net.layers.size());
        run.record.steps = s.record_steps;
        arrays.reserve(7 + 2 * layers);
        for (T** const scalar : {&run.record.loss, &run.record.error, &run.record.soft_error}) *scalar = array(s.networks * times);
        run.record.margin = array(s.networks * times * s.samples);
        run.record.layer_norm = array(s.networks * times * layers);
        run.record.balance = array(s.networks * times * net.units());
        run.record.active = array(s.networks * times * net.hidden_layers());
        for (const shoal::Layer& layer : net.layers) run.record.weights.push_back(array(s.networks * layer.inputs * layer.outputs));
        for (const shoal::Layer& layer : net.layers)
            if (s.bias) run.record.biases.push_back(array(s.networks * layer.outputs));
        status.assign(s.networks, -1);
        diverged_at.assign(s.networks, -2);
        run.record.status = status.data();
        run.record.diverged_at = diverged_at.data();
    }
    Outcome(const Outcome&) = delete;

    // FNV-1a over every bit that was written; a NaN counts as one, whatever its payload.
    std::uint64_t hash() const {
        std::uint64_t sum = 0xcbf29ce484222325;
        const auto add = [&](auto value) {
            unsigned char bytes[sizeof value];
            std::memcpy(bytes, &value, sizeof value);
            if constexpr (std::endian::native == std::endian::big) std::reverse(std::begin(bytes), std::end(bytes));
            for (const unsigned char byte : bytes) sum = (sum ^ byte) * 0x100000001b3;
        };
        for (const auto& array : arrays)
            for (const T value : array) add(value == value ? value : std::numeric_limits<T>::quiet_NaN());
        for (const std::int8_t s : status) add(s);
        for (const std::int64_t step : diverged_at) add(step);
        return sum;
    }

  private:
    static shoal::Network network(const Setting& s) { return {s.widths, shoal::activation_named(s.activation), 0.25, s.bias}; }

    static shoal::Task<T> task(const Setting& s) {
        const int dimension = s.widths.front(), outputs = s.widths.back();
        std::vector<double> inputs(std::int64_t(s.samples) * dimension), weights(s.samples, 1.0 / s.samples);
        std::vector<std::int64_t> labels;
        shoal::draw_normals(99, 0, 0, std::int64_t(inputs.size()), inputs.data());
        for (int n = 0; n < s.samples; ++n) labels.push_back(outputs == 1 ? 1 - 2 * (n % 2) : n % outputs);
        return {s.samples, dimension, inputs.data(), labels.data(), weights.data()};
    }

    // Separated: the first two axes carry three modes, two of them opposite.
    static shoal::Start start(const Setting& s) {
        shoal::Start made{};
        made.kind = s.start;
        made.scales.assign(s.widths.size() - 1, 0.75);
        if (s.start == shoal::StartKind::separated) {
            made.directions.assign(2 * s.widths.front(), 0.0);
            made.directions[0] = made.directions[s.widths.front() + 1] = 1.0;
            made.mode_direction = {0, 0, 1};
            made.mode_sign = {1.0, -1.0, 1.0};
        }
        return made;
    }

    T* array(std::int64_t size) { return arrays.emplace_back(size, T(-77)).data(); }
};

// Trains on this thread with lanes of one's choice.
template <shoal::AnyLanes V>
void train_with(const shoal::Run<typename V::Scalar>& run) {
    shoal::Descent<V> descent(run);
    shoal::Progress progress;
    shoal::Monitor monitor(progress);
    for (std::int64_t first = 0; first < run.networks; first += V::count) descent.train(first, monitor);
}

}  // namespace runs
