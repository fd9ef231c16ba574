// The compiled module of one instruction set: arrays in, the GIL released once, arrays out. No arithmetic here.
#include "shoal/peak.hpp"
#include "shoal/train.hpp"

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
    Array<double> inputs;
    Array<std::int64_t> labels;
    Array<double> weights;
    std::string loss;
    double threshold;
    py::dict start;
    double rate;
    std::int64_t steps;
    Array<std::int64_t> record_steps;
    std::vector<std::string> measures;
    std::int64_t networks, first;
    std::uint64_t seed;
    int threads;
    py::object progress;
};

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
        read.kind = shoal::StartKind::separated;
        read.scales = {start["scale"].cast<double>(), start["output_scale"].cast<double>()};
        const auto directions = start["directions"].cast<Array<double>>();
        read.directions.assign(directions.data(), directions.data() + directions.size());
        read.mode_direction = start["mode_direction"].cast<std::vector<std::int64_t>>();
        read.mode_sign = start["mode_sign"].cast<std::vector<double>>();
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

// Allocates what was asked for and tells the core where it goes.
template <class T>
py::dict allocate(const Request& request, const shoal::Network& network, shoal::Record<T>& record) {
    py::dict out;
    const py::ssize_t networks = request.networks, times = request.record_steps.size(), samples = request.inputs.shape(0);
    const auto array = [&](const char* name, std::vector<py::ssize_t> shape) {
        py::array_t<T> made(shape);
        out[name] = made;
        return made.mutable_data();
    };
    for (const std::string& measure : request.measures) {
        if (measure == "loss")
            record.loss = array("loss", {networks, times});
        else if (measure == "error")
            record.error = array("error", {networks, times});
        else if (measure == "soft_error")
            record.soft_error = array("soft_error", {networks, times});
        else if (measure == "margin")
            record.margin = array("margin", {networks, times, samples});
        else if (measure == "layer_norm")
            record.layer_norm = array("layer_norm", {networks, times, py::ssize_t(network.layers.size())});
        else if (measure == "balance")
            record.balance = array("balance", {networks, times, network.units()});
        else if (measure == "active")
            record.active = array("active", {networks, times, network.hidden_layers()});
        else if (measure == "weights") {
            py::list weights, biases;
            for (const shoal::Layer& layer : network.layers) {
                py::array_t<T> w({networks, py::ssize_t(layer.outputs), py::ssize_t(layer.inputs)});
                record.weights.push_back(w.mutable_data());
                weights.append(w);
                if (!request.bias) continue;
                py::array_t<T> b({networks, py::ssize_t(layer.outputs)});
                record.biases.push_back(b.mutable_data());
                biases.append(b);
            }
            out["weights"] = weights;
            out["biases"] = biases;
        } else {
            throw py::value_error("measures holds an unknown name: " + measure);
        }
    }
    py::array_t<std::int8_t> status(networks);
    py::array_t<std::int64_t> diverged_at(networks);
    record.status = status.mutable_data();
    record.diverged_at = diverged_at.mutable_data();
    out["status"] = status;
    out["diverged_at"] = diverged_at;
    return out;
}

template <class T>
py::dict train_as(const Request& request) {
    std::vector<Array<double>> keep;
    const std::int64_t* steps = request.record_steps.data();
    shoal::Run<T> run{
        shoal::Network(request.widths, shoal::activation_named(request.activation), request.slope, request.bias),
        shoal::Task<T>(int(request.inputs.shape(0)), int(request.inputs.shape(1)), request.inputs.data(), request.labels.data(), request.weights.data()),
        shoal::Loss(request.loss, request.threshold),
        read_start(request.start, keep),
        T(request.rate),
        request.steps,
        {},
        request.networks,
        request.first,
        request.seed,
    };
    run.record.steps.assign(steps, steps + request.record_steps.size());
    py::dict out = allocate(request, run.network, run.record);

    const std::int64_t total = request.networks * request.steps;
    const auto poll = [&](std::int64_t done) {
        const py::gil_scoped_acquire gil;
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
        if (!request.progress.is_none()) request.progress(done, total);
    };
    {
        const py::gil_scoped_release release;
        shoal::train(run, request.threads, poll);
    }
    return out;
}

// The lane type of the dtype asked for, by a callable that takes a number of it.
template <class Act>
auto with_dtype(const std::string& dtype, Act&& act) {
    if (dtype == "float64") return act(double());
    if (dtype == "float32") return act(float());
    throw py::value_error("dtype must be float64 or float32, got " + dtype);
}

py::dict train(std::vector<int> widths, std::string activation, double slope, bool bias, Array<double> inputs, Array<std::int64_t> labels,
               Array<double> weights, std::string loss, double threshold, py::dict start, double rate, std::int64_t steps, Array<std::int64_t> record_steps,
               std::vector<std::string> measures, std::int64_t networks, std::int64_t first, std::uint64_t seed, int threads, const std::string& dtype,
               py::object progress) {
    const Request request{std::move(widths),
                          std::move(activation),
                          slope,
                          bias,
                          std::move(inputs),
                          std::move(labels),
                          std::move(weights),
                          std::move(loss),
                          threshold,
                          std::move(start),
                          rate,
                          steps,
                          std::move(record_steps),
                          std::move(measures),
                          networks,
                          first,
                          seed,
                          threads,
                          std::move(progress)};
    return with_dtype(dtype, [&](auto number) { return train_as<decltype(number)>(request); });
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

std::int64_t pack_bytes(const std::vector<int>& widths, int samples, const std::string& dtype) {
    return with_pack(widths, dtype, [&](const auto& network, auto lanes) { return shoal::Gradient<decltype(lanes)>::working_set(network, samples); });
}

int pack_networks(const std::vector<int>& widths, const std::string& dtype) {
    return with_pack(widths, dtype, [](const auto&, auto lanes) { return decltype(lanes)::count; });
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
    m.def("pack_bytes", &pack_bytes, "widths"_a, "samples"_a, "dtype"_a);
    m.def("pack_networks", &pack_networks, "widths"_a, "dtype"_a);
    m.def("train", &train, py::kw_only(), "widths"_a, "activation"_a, "slope"_a, "bias"_a, "inputs"_a, "labels"_a, "weights"_a, "loss"_a, "threshold"_a,
          "start"_a, "rate"_a, "steps"_a, "record_steps"_a, "measures"_a, "networks"_a, "first"_a, "seed"_a, "threads"_a, "dtype"_a, "progress"_a);
}
