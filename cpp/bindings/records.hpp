// Allocates the NumPy arrays, by name, for the records of a training or for its statistics.
#pragma once

#include "request.hpp"

#include <map>

namespace shoal::bindings {

template <class Number>
Number* add_array(py::dict& out, const std::string& name, const std::vector<py::ssize_t>& shape) {
    py::array_t<Number> made(shape);
    out[py::str(name)] = made;
    return made.mutable_data();
}

// Adds one array per layer: (leading, outputs, inputs), or (leading, outputs) for biases.
template <class T>
std::vector<T*> add_layers(py::dict& out, const char* name, const Request& request, const shoal::Network& network, const std::vector<py::ssize_t>& leading,
                           bool biases) {
    py::list arrays;
    std::vector<T*> to;
    for (const shoal::Layer& layer : network.layers) {
        std::vector<py::ssize_t> shape = leading;
        shape.push_back(layer.outputs);
        if (!biases) shape.push_back(to.empty() && request.span.shape(0) > 0 ? request.span.shape(1) : layer.inputs);
        py::array_t<T> made(shape);
        to.push_back(made.mutable_data());
        arrays.append(made);
    }
    out[name] = arrays;
    return to;
}

// Returns the measures with one array, by name.
template <class T>
std::map<std::string, shoal::Place<T>> places(const Request& request, const shoal::Network& network) {
    std::map<std::string, shoal::Place<T>> named;
    for (const shoal::Place<T>& place : shoal::places<T>(network, request.task.inputs.shape(0), request.test ? request.test->inputs.shape(0) : 0))
        named.emplace(place.name, place);
    return named;
}

inline void check_measure(const Request& request, const std::string& measure) {
    if (measure == "velocity" && !(request.method.contains("momentum") && request.method["momentum"].cast<double>() != 0))
        throw py::value_error("measures must not hold velocity without momentum");
    if (measure.starts_with("test_") && !request.test) throw py::value_error("measures must not hold " + measure + " without test samples");
}

// The shape of an array: leading lengths, times, and the measure's own lengths.
inline std::vector<py::ssize_t> shape_of(std::vector<py::ssize_t> leading, std::int64_t times, const std::vector<std::int64_t>& own) {
    leading.push_back(times);
    leading.insert(leading.end(), own.begin(), own.end());
    return leading;
}

// Allocates the requested arrays and gives the core their addresses.
template <class T>
py::dict allocate(const Request& request, std::int64_t times, const shoal::Network& network, shoal::Record<T>& record) {
    py::dict out;
    const py::ssize_t networks = request.networks, samples = request.task.inputs.shape(0), units = network.units();
    const auto known = places<T>(request, network);
    record.times = times;
    for (const std::string& measure : request.measures) {
        check_measure(request, measure);
        if (const auto place = known.find(measure); place != known.end()) {
            place->second.in(record) = add_array<T>(out, measure, shape_of({networks}, times, place->second.shape));
        } else if (measure == "pattern") {
            record.pattern = add_array<bool>(out, measure, {networks, times, units, samples});
        } else if (measure == "trajectory") {
            record.trajectory = add_layers<T>(out, "trajectory", request, network, {networks, times}, false);
            if (request.bias) record.trajectory_biases = add_layers<T>(out, "trajectory_bias", request, network, {networks, times}, true);
        } else if (measure == "weights") {
            record.weights = add_layers<T>(out, "weights", request, network, {networks}, false);
            if (request.bias) record.biases = add_layers<T>(out, "biases", request, network, {networks}, true);
        } else if (measure == "velocity") {
            record.velocity = add_layers<T>(out, "velocity", request, network, {networks}, false);
            if (request.bias) record.velocity_biases = add_layers<T>(out, "velocity_bias", request, network, {networks}, true);
        } else {
            throw py::value_error("measures holds an unknown name: " + measure);
        }
    }
    record.status = reinterpret_cast<shoal::Status*>(add_array<std::int8_t>(out, "status", {networks}));
    record.stopped_at = add_array<std::int64_t>(out, "stopped_at", {networks});
    if (request.method["kind"].cast<std::string>() == "flow") {
        record.stopped_time = add_array<double>(out, "stopped_time", {networks});
        record.accepted = add_array<std::int64_t>(out, "accepted", {networks});
        record.rejected = add_array<std::int64_t>(out, "rejected", {networks});
        record.gave_up = reinterpret_cast<shoal::GaveUp*>(add_array<std::int8_t>(out, "gave_up", {networks}));
    }
    return out;
}

inline shoal::Relation relation_named(const std::string& name) {
    if (name == "<") return shoal::Relation::below;
    if (name == "<=") return shoal::Relation::at_most;
    if (name == ">") return shoal::Relation::above;
    if (name == ">=") return shoal::Relation::at_least;
    throw py::value_error("relation must be <, <=, > or >=, got " + name);
}

inline std::int64_t* add_counts(py::dict& out, const std::string& name, const std::vector<py::ssize_t>& shape) {
    py::array_t<std::int64_t> made(shape);
    std::fill_n(made.mutable_data(), made.size(), 0);
    out[py::str(name)] = made;
    return made.mutable_data();
}

// Reads which statistics to keep of the networks, and allocates one array for each, by name.
//   kept (cells,)   status (6,)   NAME (cells, 4, times, ...)   pair_I (cells, times, ...)   event_I (times, ...)   histogram_NAME (times, ..., bins)
//   stopped (cells, rules)   stop_moments (cells, rules, 4)   stop_histogram (rules, bins)
template <class T>
shoal::Reduction<T> read_reduction(const Request& request, std::int64_t times, const shoal::Network& network, py::dict& out) {
    const py::dict& asked = request.reduction;
    const auto known = places<T>(request, network);
    shoal::Reduction<T> read{asked["cell"].cast<std::int64_t>(), asked["stretch"].cast<int>(), {}, {}, {}, {},
                             {asked["bits"].cast<int>()},        asked["stops"].cast<bool>()};
    const py::ssize_t cells = (request.first + request.networks - 1) / read.cell - request.first / read.cell + 1, bins = read.bins.count();
    std::map<std::string, int> numbered;
    for (const std::string& measure : request.measures) {
        check_measure(request, measure);
        const auto place = known.find(measure);
        if (place == known.end()) throw py::value_error("measures holds what cannot be reduced: " + measure);
        numbered[measure] = int(read.measures.size());
        std::int64_t numbers = times;
        for (const std::int64_t length : place->second.shape) numbers *= length;
        read.measures.push_back({place->second.in, numbers});
        read.moments.push_back(add_array<double>(out, measure, shape_of({cells, 4}, times, place->second.shape)));
    }
    const auto shape = [&](const std::string& measure) -> const std::vector<std::int64_t>& { return known.at(measure).shape; };
    for (const auto& [one, other] : asked["pairs"].cast<std::vector<std::pair<std::string, std::string>>>()) {
        if (shape(one) != shape(other)) throw py::value_error("pairs must be of measures of the same shape, got " + one + ", " + other);
        read.products.push_back(add_array<double>(out, "pair_" + std::to_string(read.pairs.size()), shape_of({cells}, times, shape(one))));
        read.pairs.emplace_back(numbered.at(one), numbered.at(other));
    }
    for (const auto& [measure, relation, threshold] : asked["events"].cast<std::vector<std::tuple<std::string, std::string, double>>>()) {
        read.counts.push_back(add_counts(out, "event_" + std::to_string(read.events.size()), shape_of({}, times, shape(measure))));
        read.events.push_back({numbered.at(measure), relation_named(relation), threshold});
    }
    for (const auto& measure : asked["distributed"].cast<std::vector<std::string>>()) {
        auto whole = shape_of({}, times, shape(measure));
        whole.push_back(bins);
        read.histograms.push_back(add_counts(out, "histogram_" + measure, whole));
        read.distributed.push_back(numbered.at(measure));
    }
    read.kept = add_array<std::int64_t>(out, "kept", {cells});
    read.status = add_counts(out, "status", {shoal::statuses});
    if (read.stops) {
        read.stopped = add_array<std::int64_t>(out, "stopped", {cells, shoal::stop_rules});
        read.stop_moments = add_array<double>(out, "stop_moments", {cells, shoal::stop_rules, 4});
        read.stop_histogram = add_counts(out, "stop_histogram", {shoal::stop_rules, bins});
    }
    return read;
}

}  // namespace shoal::bindings
