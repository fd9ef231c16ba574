// The compiled module of one instruction set: arrays in, the GIL released once, arrays out. No arithmetic here.
#include "shoal/peak.hpp"
#include "trainings.hpp"

#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <map>
#include <string>

namespace py = pybind11;

namespace {

template <class Number>
using Array = py::array_t<Number, py::array::c_style | py::array::forcecast>;

// What the Python side has checked and laid out; see _kernel.pyi.
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
    Array<double> span;  // (rank, all inputs): what network and inputs have the coordinates of; of no rows where they are as given
    py::dict test;
    std::string loss;
    double threshold, weight_decay, spectral_decoupling;
    py::dict start;
    py::dict method;
    std::vector<std::string> measures;
    py::dict reduction;  // empty where the records themselves are wanted
    std::int64_t networks, first;
    std::uint64_t seed;
    int threads;
    shoal::Engine engine;
    py::object progress;
    shoal::Tuning tuning;
};

template <class Number>
std::vector<Number> vector_of(const Array<Number>& array) {
    return {array.data(), array.data() + array.size()};
}

shoal::Start read_start(const py::dict& start, std::vector<Array<double>>& keep) {
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

// The test samples, all of the same weight; none where the dict is empty.
template <class T>
std::optional<shoal::Task<T>> read_test(const py::dict& test) {
    if (test.empty()) return {};
    const auto inputs = test["inputs"].cast<Array<double>>(), weights = test["weights"].cast<Array<double>>();
    const auto labels = test["labels"].cast<Array<std::int64_t>>();
    return shoal::Task<T>(int(inputs.shape(0)), int(inputs.shape(1)), inputs.data(), labels.data(), weights.data());
}

std::optional<shoal::Span> read_span(const Array<double>& span) {
    if (span.shape(0) == 0) return {};
    return shoal::Span{int(span.shape(1)), int(span.shape(0)), vector_of(span)};
}

template <class Number>
Number* add_array(py::dict& out, const std::string& name, const std::vector<py::ssize_t>& shape) {
    py::array_t<Number> made(shape);
    out[py::str(name)] = made;
    return made.mutable_data();
}

// One array a layer: (leading, outputs, inputs), or (leading, outputs) for biases.
template <class T>
std::vector<T*> add_layers(py::dict& out, const char* name, const Request& request, const shoal::Network& network, std::vector<py::ssize_t> leading,
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

// Where a record keeps the address of a measure's array, and its shape behind (networks, times).
template <class T>
struct Place {
    T*& (*in)(shoal::Record<T>&);
    std::vector<py::ssize_t> shape;
};

#define SHOAL_IN(field) [](shoal::Record<T>& record) -> T*& { return record.field; }
template <class T>
std::map<std::string, Place<T>> places(const Request& request, const shoal::Network& network) {
    const py::ssize_t samples = request.inputs.shape(0), tested = request.test.empty() ? 0 : py::len(request.test["labels"]), units = network.units();
    return {{"loss", {SHOAL_IN(loss), {}}},
            {"error", {SHOAL_IN(error), {}}},
            {"soft_error", {SHOAL_IN(soft_error), {}}},
            {"margin", {SHOAL_IN(margin), {samples}}},
            {"test_loss", {SHOAL_IN(test.loss), {}}},
            {"test_error", {SHOAL_IN(test.error), {}}},
            {"test_soft_error", {SHOAL_IN(test.soft_error), {}}},
            {"test_margin", {SHOAL_IN(test.margin), {tested}}},
            {"layer_norm", {SHOAL_IN(layer_norm), {py::ssize_t(network.layers.size())}}},
            {"balance", {SHOAL_IN(balance), {units}}},
            {"active", {SHOAL_IN(active), {network.hidden_layers()}}},
            {"unit_active", {SHOAL_IN(unit_active), {units}}}};
}
#undef SHOAL_IN

void check_measure(const Request& request, const std::string& measure) {
    if (measure.starts_with("test_") && request.test.empty()) throw py::value_error("measures must not hold " + measure + " without test samples");
}

// The shape of an array: what leads, the times, and the measure's own.
std::vector<py::ssize_t> shape_of(std::vector<py::ssize_t> leading, std::int64_t times, const std::vector<py::ssize_t>& own) {
    leading.push_back(times);
    leading.insert(leading.end(), own.begin(), own.end());
    return leading;
}

// Allocates what was asked for and tells the core where it goes.
template <class T>
py::dict allocate(const Request& request, std::int64_t times, const shoal::Network& network, shoal::Record<T>& record) {
    py::dict out;
    const py::ssize_t networks = request.networks, samples = request.inputs.shape(0), units = network.units();
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
    }
    return out;
}

shoal::Relation relation_named(const std::string& name) {
    if (name == "<") return shoal::Relation::below;
    if (name == "<=") return shoal::Relation::at_most;
    if (name == ">") return shoal::Relation::above;
    if (name == ">=") return shoal::Relation::at_least;
    throw py::value_error("relation must be <, <=, > or >=, got " + name);
}

std::int64_t* add_counts(py::dict& out, const std::string& name, const std::vector<py::ssize_t>& shape) {
    py::array_t<std::int64_t> made(shape);
    std::fill_n(made.mutable_data(), made.size(), 0);
    out[py::str(name)] = made;
    return made.mutable_data();
}

// Reads what is to be kept of the networks, and allocates it: by name, an array each.
//   kept (cells,)   status (6,)   NAME (cells, 4, times, ...)   pair_I (cells, times, ...)   event_I (times, ...)   histogram_NAME (times, ..., bins)
//   stopped (cells, rules)   stop_moments (cells, rules, 4)   stop_histogram (rules, bins)
template <class T>
shoal::Reduction<T> read_reduction(const Request& request, std::int64_t times, const shoal::Network& network, py::dict& out) {
    const py::dict& asked = request.reduction;
    const auto known = places<T>(request, network);
    shoal::Reduction<T> read{asked["cell"].cast<std::int64_t>(), asked["stretch"].cast<std::int64_t>(), {}, {}, {}, {}, {asked["bits"].cast<int>()},
                             asked["stops"].cast<bool>()};
    const py::ssize_t cells = (request.first + request.networks - 1) / read.cell - request.first / read.cell + 1, bins = read.bins.count();
    std::map<std::string, int> numbered;
    for (const std::string& measure : request.measures) {
        check_measure(request, measure);
        const auto place = known.find(measure);
        if (place == known.end()) throw py::value_error("measures holds what cannot be reduced: " + measure);
        numbered[measure] = int(read.measures.size());
        std::int64_t numbers = times;
        for (const py::ssize_t length : place->second.shape) numbers *= length;
        read.measures.push_back({place->second.in, numbers});
        read.moments.push_back(add_array<double>(out, measure, shape_of({cells, 4}, times, place->second.shape)));
    }
    const auto shape = [&](const std::string& measure) -> const std::vector<py::ssize_t>& { return known.at(measure).shape; };
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

// Trains by the method, with the records that it says. `total` is the work that progress counts.
template <class T, class Method>
py::dict train_by(const Request& request, const Method& method, std::int64_t records, std::int64_t total) {
    std::vector<Array<double>> keep;
    shoal::Run<T> run{
        shoal::Network(request.widths, shoal::activation_named(request.activation), request.slope, request.bias, request.scales, request.rates,
                       request.centred),
        shoal::Task<T>(int(request.inputs.shape(0)), int(request.inputs.shape(1)), request.inputs.data(), request.labels.data(), request.weights.data(),
                       request.repeats.data()),
        shoal::Loss(request.loss, request.threshold),
        read_start(request.start, keep),
        {},
        request.networks,
        request.first,
        request.seed,
        {request.weight_decay, request.spectral_decoupling},
        read_test<T>(request.test),
        read_span(request.span),
        request.tuning,
    };
    py::dict out;
    std::optional<shoal::Reduction<T>> reduction;
    if (request.reduction.empty()) {
        out = allocate(request, records, run.network, run.record);
    } else {
        run.record.times = records;
        reduction = read_reduction<T>(request, records, run.network, out);
    }
    const auto poll = [&](std::int64_t done) {
        const py::gil_scoped_acquire gil;
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
        if (!request.progress.is_none()) request.progress(done, total);
    };
    {
        const py::gil_scoped_release release;
        if (reduction)
            shoal::train_reduced(run, method, *reduction, request.engine, request.threads, poll);
        else
            shoal::train(run, method, request.engine, request.threads, poll);
    }
    return out;
}

template <class T>
py::dict train_as(const Request& request) {
    const py::dict& method = request.method;
    const auto kind = method["kind"].cast<std::string>();
    if (kind == "descent") {
        const shoal::DescentMethod<T> descent{T(method["rate"].cast<double>()),
                                              method["steps"].cast<std::int64_t>(),
                                              vector_of(method["record_steps"].cast<Array<std::int64_t>>()),
                                              {method["fitted"].cast<bool>(), method["satisfied"].cast<bool>(), method["dead"].cast<bool>()},
                                              method["retire"].cast<bool>()};
        return train_by<T>(request, descent, std::int64_t(descent.record_steps.size()), request.networks * descent.steps);
    }
    if constexpr (std::is_same_v<T, double>)
        if (kind == "flow") {
            const shoal::FlowMethod flow{method["until"].cast<double>(), method["rtol"].cast<double>(), method["atol"].cast<double>(),
                                         method["max_steps"].cast<std::int64_t>(), vector_of(method["record_times"].cast<Array<double>>())};
            return train_by<T>(request, flow, std::int64_t(flow.record_times.size()), request.networks);
        }
    throw py::value_error("method must be descent, or flow in float64, got " + kind);
}

// The lane type of the dtype asked for, by a callable that takes a number of it.
template <class Act>
auto with_dtype(const std::string& dtype, Act&& act) {
    if (dtype == "float64") return act(double());
    if (dtype == "float32") return act(float());
    throw py::value_error("dtype must be float64 or float32, got " + dtype);
}

// None: what suits this machine. Only tests ask for anything else.
shoal::Tuning read_tuning(const py::object& tuning) {
    if (tuning.is_none()) return shoal::Tuning::of_this_machine();
    const auto [nearest, second, fixed] = tuning.cast<std::tuple<std::int64_t, std::int64_t, bool>>();
    return {nearest, second, fixed};
}

py::dict train(std::vector<int> widths, std::string activation, double slope, bool bias, std::vector<double> scales, std::vector<double> rates, bool centred,
               Array<double> inputs, Array<std::int64_t> labels, Array<double> weights, Array<double> repeats, Array<double> span, py::dict test,
               std::string loss, double threshold, double weight_decay, double spectral_decoupling, py::dict start, py::dict method,
               std::vector<std::string> measures, py::dict reduction, std::int64_t networks, std::int64_t first, std::uint64_t seed, int threads,
               const std::string& engine, const std::string& dtype, py::object progress, const py::object& tuning) {
    const Request request{std::move(widths),
                          std::move(activation),
                          slope,
                          bias,
                          std::move(scales),
                          std::move(rates),
                          centred,
                          std::move(inputs),
                          std::move(labels),
                          std::move(weights),
                          std::move(repeats),
                          std::move(span),
                          std::move(test),
                          std::move(loss),
                          threshold,
                          weight_decay,
                          spectral_decoupling,
                          std::move(start),
                          std::move(method),
                          std::move(measures),
                          std::move(reduction),
                          networks,
                          first,
                          seed,
                          threads,
                          shoal::engine_named(engine),
                          std::move(progress),
                          read_tuning(tuning)};
    return with_dtype(dtype, [&](auto number) { return train_as<decltype(number)>(request); });
}

// The directions that inputs span, orthonormal rows, and the inputs' coordinates along them; None where there are more than `most`.
py::object span(const Array<double>& inputs, int most) {
    const std::int64_t samples = inputs.shape(0);
    const shoal::Span found = shoal::span_of(inputs.data(), samples, int(inputs.shape(1)), most);
    if (found.rank > most) return py::none();
    py::array_t<double> basis({py::ssize_t(found.rank), inputs.shape(1)}), coordinates({inputs.shape(0), py::ssize_t(found.rank)});
    std::copy(found.basis.begin(), found.basis.end(), basis.mutable_data());
    shoal::write_coordinates(found, inputs.data(), samples, coordinates.mutable_data());
    return py::make_tuple(basis, coordinates);
}

// act(network, V()) with the lanes that packs of many such networks have.
template <class Act>
auto with_pack(const std::vector<int>& widths, const std::string& dtype, Act&& act) {
    const shoal::Network network(widths, shoal::Activation::relu, 0.0, false);
    return with_dtype(dtype, [&](auto number) {
        constexpr auto many = std::numeric_limits<std::int64_t>::max();
        return shoal::with_lanes<decltype(number)>(network, many, 1, [&](auto lanes) { return act(network, lanes); });
    });
}

// (inputs, hidden units) of each shape that has instances of its own.
std::vector<std::pair<int, int>> fixed_shapes() {
    std::vector<std::pair<int, int>> shapes;
    for (const shoal::Shape& shape : shoal::fixed_shapes) shapes.emplace_back(shape.inputs, shape.units);
    return shapes;
}

bool is_fixed(const std::vector<int>& widths, const std::string& activation) {
    return shoal::fixed_shape<shoal::Lanes<double>>(shoal::Network(widths, shoal::activation_named(activation), 0.0, false)) >= 0;
}

std::pair<std::int64_t, std::int64_t> caches() {
    const shoal::Tuning& tuning = shoal::Tuning::of_this_machine();
    return {tuning.nearest_cache, tuning.second_cache};
}

std::int64_t pack_bytes(const std::vector<int>& widths, int samples, const std::string& dtype) {
    return with_pack(widths, dtype, [&](const auto& network, auto lanes) { return shoal::Gradient<decltype(lanes)>::working_set(network, samples); });
}

int pack_networks(const std::vector<int>& widths, const std::string& dtype) {
    return with_pack(widths, dtype, [](const auto&, auto lanes) { return decltype(lanes)::count; });
}

std::int64_t wide_bytes(const std::vector<int>& widths, bool bias, bool centred, int samples, int test_samples, std::int64_t networks, int threads,
                        const std::string& dtype) {
    const shoal::Network network(widths, shoal::Activation::relu, 0.0, bias, {}, {}, centred);
    return with_dtype(dtype, [&](auto number) { return shoal::wide::bytes<decltype(number)>(network, samples, test_samples, networks, threads); });
}

// What CPU and operating system support, of the features that the instruction sets of shoal need.
std::vector<std::string> cpu_features() {
    std::vector<std::string> found;
#if defined(__x86_64__)
    __builtin_cpu_init();
#define SHOAL_FEATURE(name) \
    if (__builtin_cpu_supports(name)) found.push_back(name)
    SHOAL_FEATURE("avx2");
    SHOAL_FEATURE("fma");
    SHOAL_FEATURE("avx512f");
    SHOAL_FEATURE("avx512dq");
    SHOAL_FEATURE("avx512vl");
    SHOAL_FEATURE("avx512bw");
#undef SHOAL_FEATURE
#endif
    return found;
}

}  // namespace

PYBIND11_MODULE(SHOAL_MODULE_NAME, m, py::mod_gil_not_used()) {
    using namespace py::literals;
    m.attr("isa") = SHOAL_ISA;
    m.attr("compiler") = SHOAL_COMPILER;
    m.attr("eigen") = std::to_string(EIGEN_MAJOR_VERSION) + "." + std::to_string(EIGEN_MINOR_VERSION) + "." + std::to_string(EIGEN_PATCH_VERSION);
    m.def("cpu_features", &cpu_features);
    m.def("lanes", [](const std::string& dtype) { return with_dtype(dtype, [](auto number) { return shoal::Lanes<decltype(number)>::count; }); }, "dtype"_a);
    m.def(
        "fma_peak",
        [](int threads, const std::string& dtype, double seconds) {
            return with_dtype(dtype, [&](auto number) { return shoal::fma_peak<decltype(number)>(threads, seconds); });
        },
        "threads"_a, "dtype"_a, "seconds"_a, py::call_guard<py::gil_scoped_release>());
    m.def("span", &span, "inputs"_a, "most"_a);
    m.def("pack_bytes", &pack_bytes, "widths"_a, "samples"_a, "dtype"_a);
    m.def("caches", &caches);
    m.def("fixed_shapes", &fixed_shapes);
    m.def("is_fixed", &is_fixed, "widths"_a, "activation"_a);
    m.def("pack_networks", &pack_networks, "widths"_a, "dtype"_a);
    m.def("wide_bytes", &wide_bytes, "widths"_a, "bias"_a, "centred"_a, "samples"_a, "test_samples"_a, "networks"_a, "threads"_a, "dtype"_a);
    m.def("train", &train, py::kw_only(), "widths"_a, "activation"_a, "slope"_a, "bias"_a, "scales"_a, "rates"_a, "centred"_a, "inputs"_a, "labels"_a,
          "weights"_a, "repeats"_a, "span"_a, "test"_a, "loss"_a, "threshold"_a, "weight_decay"_a, "spectral_decoupling"_a, "start"_a, "method"_a, "measures"_a,
          "reduction"_a = py::dict(), "networks"_a, "first"_a, "seed"_a, "threads"_a, "engine"_a, "dtype"_a, "progress"_a, "tuning"_a = py::none());
}
