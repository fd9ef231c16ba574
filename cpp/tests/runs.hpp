// Small runs for tests: a task drawn from Philox, a network, and arrays for all records.
#pragma once

#include "shoal/train.hpp"

#include <bit>
#include <cstring>
#include <memory>
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
    shoal::Penalty penalty = {};
    int test_samples = 0;  // if positive, everything that can be recorded is
    shoal::FlowMethod flow{1.5, 1e-6, 1e-9, 2000, {0.0, 0.5, 1.5}};  // with as many records as descent
    std::vector<double> scales = {}, rates = {};  // per layer
    bool centred = false;
    shoal::StopRules stop = {};
    double momentum = 0;
    bool nesterov = false;
    bool regression = false;  // real targets in place of labels; the loss is then the squared one
};

// A run and the arrays that it writes. `Run` points into them, so an Outcome must not move.
template <class T>
struct Outcome {
    shoal::Run<T> run;
    shoal::DescentMethod<T> method;
    std::vector<std::vector<T>> arrays;
    std::unique_ptr<bool[]> pattern;
    std::int64_t pattern_size = 0;
    std::vector<shoal::Status> status;
    std::vector<std::int64_t> stopped_at, accepted, rejected;
    std::vector<double> stopped_time;
    shoal::FlowMethod flow;

    explicit Outcome(const Setting& s)
        : run{network(s), task(s), shoal::Loss(s.loss, 1.0), start(s), {}, s.networks, s.first, s.seed, s.penalty, {}},
          method{{{T(s.rate)}, {}, T(s.momentum), s.nesterov}, s.steps, s.record_steps, s.stop},
          flow(s.flow) {
        const shoal::Network& net = run.network;
        const std::int64_t times = std::int64_t(s.record_steps.size()), layers = std::int64_t(net.layers.size());
        run.record.times = times;
        arrays.reserve(16 + 4 * layers);
        for (T** const scalar : {&run.record.loss, &run.record.error, &run.record.soft_error}) *scalar = array(s.networks * times);
        if (!s.regression) run.record.margin = array(s.networks * times * s.samples);
        for (T** const of_outputs : {&run.record.output, &run.record.residual})
            if (has_targets(s)) *of_outputs = array(s.networks * times * s.samples * s.widths.back());
        run.record.layer_norm = array(s.networks * times * layers);
        run.record.balance = array(s.networks * times * net.units());
        run.record.active = array(s.networks * times * net.hidden_layers());
        for (const shoal::Layer& layer : net.layers) run.record.weights.push_back(array(s.networks * layer.inputs * layer.outputs));
        for (const shoal::Layer& layer : net.layers)
            if (s.bias) run.record.biases.push_back(array(s.networks * layer.outputs));
        if (s.test_samples > 0) add_test(s, times);
        status.assign(s.networks, shoal::Status(-1));
        stopped_at.assign(s.networks, -2);
        run.record.status = status.data();
        run.record.stopped_at = stopped_at.data();
        for (auto [numbers, to] : {std::pair{&accepted, &run.record.accepted}, std::pair{&rejected, &run.record.rejected}}) {
            numbers->assign(s.networks, 0);  // descent does not write them
            *to = numbers->data();
        }
        stopped_time.assign(s.networks, 0.0);
        run.record.stopped_time = stopped_time.data();
    }
    Outcome(const Outcome&) = delete;

    // FNV-1a over all bits written; every NaN counts alike, whatever its payload.
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
        for (std::int64_t n = 0; n < pattern_size; ++n) add(pattern[n]);
        for (const shoal::Status s : status) add(s);
        for (const std::int64_t step : stopped_at) add(step);
        for (const auto* numbers : {&accepted, &rejected})
            for (const std::int64_t number : *numbers)
                if (number != 0) add(number);
        return sum;
    }

  private:
    static shoal::Network network(const Setting& s) {
        return {s.widths, shoal::Activation("activation", s.activation), 0.25, s.bias, s.scales, s.rates, s.centred};
    }

    static shoal::Task<T> task(const Setting& s) { return task(s, s.samples, 99); }

    static bool has_targets(const Setting& s) { return s.loss == "squared" && (s.regression || s.widths.back() > 1); }

    // With labels, with targets, or with labels and their unit vectors as targets.
    static shoal::Task<T> task(const Setting& s, int samples, std::uint64_t seed) {
        const int dimension = s.widths.front(), outputs = s.widths.back();
        std::vector<double> inputs(std::int64_t(samples) * dimension), weights(samples, 1.0 / samples);
        std::vector<std::int64_t> labels;
        labels.reserve(samples);
        shoal::draw_normals(seed, 0, 0, std::int64_t(inputs.size()), inputs.data());
        for (int n = 0; n < samples; ++n) labels.push_back(outputs == 1 ? 1 - 2 * (n % 2) : n % outputs);
        std::vector<double> targets(has_targets(s) ? std::int64_t(samples) * outputs : 0);
        if (s.regression)
            shoal::draw_normals(seed, 1, 0, std::int64_t(targets.size()), targets.data());
        else
            for (int n = 0; n < samples && !targets.empty(); ++n) targets[n * outputs + labels[n]] = 1;
        return {samples, dimension, inputs.data(), s.regression ? nullptr : labels.data(), weights.data(), nullptr, targets.empty() ? nullptr : targets.data(),
                outputs};
    }

    void add_test(const Setting& s, std::int64_t times) {
        shoal::Record<T>& record = run.record;
        const shoal::Network& net = run.network;
        run.test = task(s, s.test_samples, 98);
        for (T** const scalar : {&record.test.loss, &record.test.error, &record.test.soft_error}) *scalar = array(s.networks * times);
        record.test.margin = array(s.networks * times * s.test_samples);
        record.unit_active = array(s.networks * times * net.units());
        for (const shoal::Layer& layer : net.layers) record.trajectory.push_back(array(s.networks * times * layer.inputs * layer.outputs));
        for (const shoal::Layer& layer : net.layers)
            if (s.bias) record.trajectory_biases.push_back(array(s.networks * times * layer.outputs));
        pattern_size = s.networks * times * net.units() * s.samples;
        pattern = std::make_unique<bool[]>(pattern_size);
        record.pattern = pattern.get();
    }

    // Separated: the first two axes carry three modes, two of them opposite.
    static shoal::Start start(const Setting& s) {
        const std::vector<double> scales(s.widths.size() - 1, 0.75);
        if (s.start != shoal::StartKind::separated) return {s.start, scales, {}, {}, {}, {}, {}, {}};
        std::vector<double> directions(2 * s.widths.front(), 0.0);
        directions[0] = directions[s.widths.front() + 1] = 1.0;
        return shoal::Start::separated(scales, directions, {0, 0, 1}, {1.0, -1.0, 1.0});
    }

    T* array(std::int64_t size) { return arrays.emplace_back(size, T(-77)).data(); }
};

// Trains on this thread with the given lanes.
template <shoal::AnyLanes V, class Method>
void train_with(const shoal::Run<typename V::Scalar>& run, const Method& method) {
    typename Method::template Trainer<V> trainer(run, method);
    shoal::Progress progress;
    shoal::Monitor monitor(progress);
    shoal::Queue queue(run.networks);
    trainer.train(queue, monitor);
}

}  // namespace runs
