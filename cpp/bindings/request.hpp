// A request of the Python side for a training, read from its arguments.
#pragma once

#include "arguments.hpp"
#include "trainings/trainings.hpp"

#include <optional>

namespace shoal::bindings {

// Samples that are only measured.
struct TestSamples {
    Array<double> inputs;
    Array<std::int64_t> labels;
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
    Array<double> inputs;
    Array<std::int64_t> labels;
    Array<double> weights, repeats;
    Array<double> span;  // (rank, all inputs): the directions whose coordinates network and inputs have; no rows if inputs are as given
    std::optional<TestSamples> test;
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
    } else if (kind == "explicit") {
        read.kind = shoal::StartKind::explicit_weights;
        for (const auto& [name, to] : {std::pair{"weights", &read.weights}, std::pair{"biases", &read.biases}})
            for (const auto& item : start[name].cast<py::list>()) {
                keep.push_back(item.cast<Array<double>>());
                to->push_back(keep.back().data());
            }
    } else {
        throw py::value_error("start kind must be gaussian, balanced, separated or explicit, got " + kind);
    }
    return read;
}

// Returns nullopt if the dict is empty.
inline std::optional<TestSamples> read_test(const py::dict& test, py::ssize_t dimension) {
    if (test.empty()) return {};
    TestSamples read{read_array<double>(entry(test, "test", "inputs"), "test inputs", {-1, dimension}), {}, {}};
    const py::ssize_t samples = read.inputs.shape(0);
    read.labels = read_array<std::int64_t>(entry(test, "test", "labels"), "test labels", {samples});
    read.weights = read_array<double>(entry(test, "test", "weights"), "test weights", {samples});
    return read;
}

template <class T>
std::optional<shoal::Task<T>> task_of(const std::optional<TestSamples>& test) {
    if (!test) return {};
    return shoal::Task<T>(int(test->inputs.shape(0)), int(test->inputs.shape(1)), test->inputs.data(), test->labels.data(), test->weights.data());
}

inline std::optional<shoal::Span> read_span(const Array<double>& span) {
    if (span.shape(0) == 0) return {};
    return shoal::Span{int(span.shape(1)), int(span.shape(0)), vector_of(span)};
}

}  // namespace shoal::bindings
