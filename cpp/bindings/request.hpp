// A request of the Python side for a training, read from its arguments.
#pragma once

#include "arguments.hpp"
#include "trainings/trainings.hpp"

#include <optional>

namespace shoal::bindings {

// Samples with labels, targets (samples, outputs) or both.
struct Samples {
    Array<double> inputs;
    std::optional<Array<std::int64_t>> labels;
    std::optional<Array<double>> targets;
    Array<double> weights;
};

// The arguments of a training, as the Python side has checked and arranged them; see _kernel.pyi.
struct Request {
    std::vector<int> widths;
    std::string activation;
    double slope;
    bool bias;
    std::vector<double> scales, rates;
    bool centred;
    Samples task;
    Array<double> repeats;
    Array<double> span;  // (rank, all inputs): the directions whose coordinates network and inputs have; no rows if inputs are as given
    std::optional<Samples> test;  // that are only measured
    std::string loss;
    double threshold, weight_decay, spectral_decoupling;
    py::dict start;
    py::dict method;
    std::vector<std::string> measures;
    py::dict reduction;  // empty if the records themselves are wanted
    std::int64_t networks, first;
    std::uint64_t seed;
    int threads;
    shoal::Engine engine;
    py::object progress;
    shoal::Tuning tuning;
    shoal::Arithmetic::Mode callers;  // arithmetic of the caller, in which progress is reported
};

template <class Number>
std::vector<Number> vector_of(const Array<Number>& array) {
    return {array.data(), array.data() + array.size()};
}

template <class T>
std::vector<T> numbers_of(const py::handle& array) {
    std::vector<T> numbers;
    for (const double number : vector_of(array.cast<Array<double>>())) numbers.push_back(T(number));
    return numbers;
}

inline shoal::Start read_start(const py::dict& start, std::vector<Array<double>>& keep) {
    const auto kind = start["kind"].cast<std::string>();
    shoal::Start read{};
    if (kind == "gaussian") {
        read.kind = shoal::StartKind::gaussian;
        read.scales = start["scales"].cast<std::vector<double>>();
    } else if (kind == "balanced") {
        read.kind = shoal::StartKind::balanced;
        read.scales = {start["scale"].cast<double>()};
    } else if (kind == "separated") {
        read =
            shoal::Start::separated({start["scale"].cast<double>(), start["output_scale"].cast<double>()}, vector_of(start["directions"].cast<Array<double>>()),
                                    start["mode_direction"].cast<std::vector<std::int64_t>>(), start["mode_sign"].cast<std::vector<double>>());
    } else if (kind == "unit") {
        read.kind = shoal::StartKind::unit;
        read.scales = start["norms"].cast<std::vector<double>>();
        read.outputs = start["outputs"].cast<std::vector<double>>();
    } else if (kind == "explicit") {
        read.kind = shoal::StartKind::explicit_weights;
        for (const auto& [name, to] : {std::pair{"weights", &read.weights}, std::pair{"biases", &read.biases}})
            for (const auto& item : start[name].cast<py::list>()) {
                keep.push_back(item.cast<Array<double>>());
                to->push_back(keep.back().data());
            }
    } else {
        throw py::value_error("start kind must be gaussian, balanced, separated, unit or explicit, got " + kind);
    }
    if (start.contains("paired")) read.paired = start["paired"].cast<bool>();
    return read;
}

// Reads samples of a network of these widths; errors call them `of`.
inline Samples read_samples(const std::string& of, const std::vector<int>& widths, const py::handle& inputs, const py::handle& labels,
                            const py::handle& targets, const py::handle& weights) {
    auto points = read_array<double>(inputs, of + "inputs", {-1, widths.front()});
    const py::ssize_t samples = points.shape(0);
    return {std::move(points), read_array_or_none<std::int64_t>(labels, of + "labels", {samples}),
            read_array_or_none<double>(targets, of + "targets", {samples, widths.back()}), read_array<double>(weights, of + "weights", {samples})};
}

// Returns nullopt if the dict is empty.
inline std::optional<Samples> read_test(const py::dict& test, const std::vector<int>& widths) {
    if (test.empty()) return {};
    const auto held = [&](const char* name) { return entry(test, "test", name); };
    const py::object inputs = held("inputs"), labels = held("labels"), targets = held("targets"), weights = held("weights");
    return read_samples("test ", widths, inputs, labels, targets, weights);
}

template <class T>
shoal::Task<T> task_of(const Samples& given, int outputs, const double* repeats = nullptr) {
    return {int(given.inputs.shape(0)),  int(given.inputs.shape(1)),
            given.inputs.data(),         data_or_null(given.labels),
            given.weights.data(),        repeats,
            data_or_null(given.targets), outputs};
}

inline std::optional<shoal::Span> read_span(const Array<double>& span) {
    if (span.shape(0) == 0) return {};
    return shoal::Span{int(span.shape(1)), int(span.shape(0)), vector_of(span)};
}

}  // namespace shoal::bindings
