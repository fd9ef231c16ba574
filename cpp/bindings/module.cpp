// The compiled module of one instruction set: takes arrays, releases the GIL once, returns arrays. It does no arithmetic.
#include "check.hpp"
#include "gil.hpp"
#include "records.hpp"
#include "shoal/peak.hpp"

#include <string>

namespace {

using namespace shoal::bindings;

// Trains by the method, with this many records. `total` is the work that progress counts.
template <class T, class Method>
py::dict train_by(const Request& request, const Method& method, std::int64_t records, std::int64_t total) {
    std::vector<Array<double>> keep;
    shoal::Run<T> run{
        shoal::Network(request.widths, shoal::Activation("activation", request.activation), request.slope, request.bias, request.scales, request.rates,
                       request.centred),
        task_of<T>(request.task, request.widths.back(), request.repeats.data()),
        shoal::Loss(request.loss, request.threshold),
        read_start(request.start, keep),
        {},
        request.networks,
        request.first,
        request.seed,
        {request.weight_decay, request.spectral_decoupling},
        {},
        read_span(request.span),
        request.tuning,
    };
    if (request.test) run.test = task_of<T>(*request.test, request.widths.back());
    if (request.start.contains("resumed")) run.resumed = read_start(request.start["resumed"], keep);
    py::dict out;
    std::optional<shoal::Reduction<T>> reduction;
    if (request.reduction.empty()) {
        out = allocate(request, records, run.network, run.record);
    } else {
        run.record.times = records;
        reduction = read_reduction<T>(request, records, run.network, out);
    }
    const Watch watch(request.progress, request.callers);
    WithoutGil::call([&](WithoutGil& here) {
        const auto poll = [&](std::int64_t done) { watch.look(here, done, total); };
        if (reduction)
            shoal::train_reduced(run, method, *reduction, request.engine, request.threads, poll);
        else
            shoal::train(run, method, request.engine, request.threads, poll);
    });
    return out;
}

template <class T>
py::dict train_as(const Request& request) {
    check<T>(request);
    const py::dict& method = request.method;
    const auto kind = method["kind"].cast<std::string>();
    if (kind == "descent") {
        std::vector<Array<double>> keep;
        shoal::Moves<T> moves{numbers_of<T>(method["rates"]), numbers_of<T>(method["schedule"]), T(method["momentum"].cast<double>()),
                              method["nesterov"].cast<bool>()};
        if (request.start.contains("velocity")) moves.velocity = read_start(request.start["velocity"], keep);
        const shoal::DescentMethod<T> descent{std::move(moves),
                                              method["steps"].cast<std::int64_t>(),
                                              vector_of(method["record_steps"].cast<Array<std::int64_t>>()),
                                              {method["fitted"].cast<bool>(), method["satisfied"].cast<bool>(), method["dead"].cast<bool>()},
                                              method["retire"].cast<bool>(),
                                              request.engine == shoal::Engine::automatic ? -1 : 0};
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

// Calls act(number) with a number of the given dtype.
template <class Act>
auto with_dtype(const std::string& dtype, Act&& act) {
    if (dtype == "float64") return act(double());
    if (dtype == "float32") return act(float());
    throw py::value_error("dtype must be float64 or float32, got " + dtype);
}

// None stands for the tuning of this machine. Only tests pass anything else.
shoal::Tuning read_tuning(const py::object& tuning) {
    if (tuning.is_none()) return shoal::Tuning::of_this_machine();
    try {
        const auto [nearest, second, fixed] = tuning.cast<std::tuple<std::int64_t, std::int64_t, bool>>();
        return {nearest, second, fixed};
    } catch (const py::cast_error&) {
        throw py::type_error("tuning must be None or (bytes of the first cache, of the second, whether shapes are fixed), got " + type_of(tuning));
    }
}

py::dict train(std::vector<int> widths, std::string activation, double slope, bool bias, std::vector<double> scales, std::vector<double> rates, bool centred,
               const py::object& inputs, const py::object& labels, const py::object& targets, const py::object& weights, const py::object& repeats,
               const py::object& span, const py::dict& test, std::string loss, double threshold, double weight_decay, double spectral_decoupling,
               py::dict start, py::dict method, std::vector<std::string> measures, py::dict reduction, std::int64_t networks, std::int64_t first,
               std::uint64_t seed, int threads, const std::string& engine, const std::string& dtype, py::object progress, const py::object& tuning) {
    const shoal::Arithmetic arithmetic;
    check_widths(widths);
    auto task = read_samples("", widths, inputs, labels, targets, weights);
    const py::ssize_t samples = task.inputs.shape(0);
    auto tested = read_test(test, widths);
    check_counts(samples, tested ? tested->inputs.shape(0) : 0, networks, threads);
    const Request request{std::move(widths),
                          std::move(activation),
                          slope,
                          bias,
                          std::move(scales),
                          std::move(rates),
                          centred,
                          std::move(task),
                          read_array<double>(repeats, "repeats", {samples}),
                          read_array<double>(span, "span", {-1, -1}),
                          std::move(tested),
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
                          read_tuning(tuning),
                          arithmetic.before()};
    return with_dtype(dtype, [&](auto number) { return train_as<decltype(number)>(request); });
}

// Returns the directions that inputs span, as orthonormal rows, and the inputs' coordinates along them; None if there are more than `most`.
py::object span(const py::object& given, int most) {
    const shoal::Arithmetic arithmetic;
    const auto inputs = finite(read_array<double>(given, "inputs", {-1, -1}), "inputs");
    require(inputs.shape(1) <= std::numeric_limits<int>::max(), "inputs", "of at most 2147483647 columns", inputs.shape(1));
    require(most >= 0, "most", "not negative", most);
    const std::int64_t samples = inputs.shape(0);
    const shoal::Span found = shoal::span_of(inputs.data(), samples, int(inputs.shape(1)), most);
    if (found.rank > most) return py::none();
    py::array_t<double> basis({py::ssize_t(found.rank), inputs.shape(1)}), coordinates({inputs.shape(0), py::ssize_t(found.rank)});
    std::copy(found.basis.begin(), found.basis.end(), basis.mutable_data());
    shoal::write_coordinates(found, inputs.data(), samples, coordinates.mutable_data());
    return py::make_tuple(basis, coordinates);
}

// Calls act(network, V()) with the lanes that suit very many such networks.
template <class Act>
auto with_pack(const std::vector<int>& widths, const std::string& activation, const std::string& dtype, Act&& act) {
    check_widths(widths);
    const shoal::Network network(widths, shoal::Activation("activation", activation), 0.0, false);
    return with_dtype(dtype, [&](auto number) {
        constexpr auto many = std::numeric_limits<std::int64_t>::max();
        return shoal::with_lanes<decltype(number)>(network, many, 1, [&](auto lanes) { return act(network, lanes); });
    });
}

// Returns (inputs, hidden units) of each shape with instances of its own.
std::vector<std::pair<int, int>> fixed_shapes() {
    std::vector<std::pair<int, int>> shapes;
    for (const shoal::Shape& shape : shoal::fixed_shapes) shapes.emplace_back(shape.inputs, shape.units);
    return shapes;
}

bool is_fixed(const std::vector<int>& widths, const std::string& activation) {
    check_widths(widths);
    return shoal::fixed_shape<shoal::Lanes<double>>(shoal::Network(widths, shoal::Activation("activation", activation), 0.0, false)) >= 0;
}

std::pair<std::int64_t, std::int64_t> caches() {
    const shoal::Tuning& tuning = shoal::Tuning::of_this_machine();
    return {tuning.nearest_cache, tuning.second_cache};
}

std::int64_t pack_bytes(const std::vector<int>& widths, int samples, const std::string& dtype, const std::string& activation) {
    check_counts(samples, 0, 1, 1);
    return with_pack(widths, activation, dtype,
                     [&](const auto& network, auto lanes) { return shoal::Gradient<decltype(lanes)>::working_set(network, samples); });
}

int pack_networks(const std::vector<int>& widths, const std::string& dtype) {
    return with_pack(widths, "relu", dtype, [](const auto&, auto lanes) { return decltype(lanes)::count; });
}

std::int64_t alone_bytes(const std::vector<int>& widths, bool bias, bool centred, int samples, int test_samples, std::int64_t networks, int threads,
                         const std::string& dtype, const std::string& activation) {
    check_widths(widths);
    check_counts(samples, test_samples, networks, threads);
    const shoal::Network network(widths, shoal::Activation("activation", activation), 0.0, bias, {}, {}, centred);
    return with_dtype(dtype, [&](auto number) { return shoal::alone::bytes<decltype(number)>(network, samples, test_samples, networks, threads); });
}

std::int64_t networks_alone(const std::vector<int>& widths, bool bias, int samples, std::int64_t networks, int threads, const std::string& engine, bool flows,
                            const std::string& dtype) {
    check_widths(widths);
    check_counts(samples, 0, networks, threads);
    const shoal::Network network(widths, shoal::Relu(), 0.0, bias);
    const shoal::Engine named = shoal::engine_named(engine);
    return with_dtype(dtype, [&](auto number) { return shoal::networks_alone<decltype(number)>(network, samples, networks, threads, named, flows); });
}

// Returns the features that CPU and operating system support, among those that shoal's instruction sets need.
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

bool in_main_interpreter() { return PyInterpreterState_Get() == PyInterpreterState_Main(); }
constexpr auto not_here = "shoal's core can be imported in the main interpreter of a process only, and this is a subinterpreter";

}  // namespace

// The module's entry. It refuses subinterpreters itself: in one of Python 3.11, the entry of pybind11, which it calls, would wait forever.
#define SHOAL_JOINED(one, other) PYBIND11_CONCAT(one, other)
#define SHOAL_BEHIND SHOAL_JOINED(behind, SHOAL_MODULE_NAME)
extern "C" PYBIND11_EXPORT PyObject* SHOAL_JOINED(PyInit_, SHOAL_BEHIND)();
extern "C" PYBIND11_EXPORT PyObject* SHOAL_JOINED(PyInit_, SHOAL_MODULE_NAME)() {
    if (in_main_interpreter()) return SHOAL_JOINED(PyInit_, SHOAL_BEHIND)();
    PyErr_SetString(PyExc_ImportError, not_here);
    return nullptr;
}

PYBIND11_MODULE(SHOAL_BEHIND, m, py::mod_gil_not_used()) {
    using namespace py::literals;
    if (!in_main_interpreter()) throw py::import_error(not_here);  // later Pythons run the entry in the main interpreter, this in the subinterpreter
    m.attr("isa") = SHOAL_ISA;
    m.attr("compiler") = SHOAL_COMPILER;
    m.attr("eigen") = std::to_string(EIGEN_MAJOR_VERSION) + "." + std::to_string(EIGEN_MINOR_VERSION) + "." + std::to_string(EIGEN_PATCH_VERSION);
    m.def("cpu_features", &cpu_features);
    m.def("lanes", [](const std::string& dtype) { return with_dtype(dtype, [](auto number) { return shoal::Lanes<decltype(number)>::count; }); }, "dtype"_a);
    m.def(
        "fma_peak",
        [](int threads, const std::string& dtype, double seconds) {
            check_counts(1, 0, 1, threads);
            check_number<double>(seconds, "seconds", true);
            double found = 0.0;
            WithoutGil::call(
                [&](WithoutGil&) { found = with_dtype(dtype, [&](auto number) { return double(shoal::fma_peak<decltype(number)>(threads, seconds)); }); });
            return found;
        },
        "threads"_a, "dtype"_a, "seconds"_a);
    m.def("span", &span, "inputs"_a, "most"_a);
    m.def("pack_bytes", &pack_bytes, "widths"_a, "samples"_a, "dtype"_a, "activation"_a = "relu");
    m.def("caches", &caches);
    m.def("fixed_shapes", &fixed_shapes);
    m.def("is_fixed", &is_fixed, "widths"_a, "activation"_a);
    m.def("pack_networks", &pack_networks, "widths"_a, "dtype"_a);
    m.def("networks_alone", &networks_alone, "widths"_a, "bias"_a, "samples"_a, "networks"_a, "threads"_a, "engine"_a, "flows"_a, "dtype"_a);
    m.def("alone_bytes", &alone_bytes, "widths"_a, "bias"_a, "centred"_a, "samples"_a, "test_samples"_a, "networks"_a, "threads"_a, "dtype"_a,
          "activation"_a = "relu");
    m.def("train", &train, py::kw_only(), "widths"_a, "activation"_a, "slope"_a, "bias"_a, "scales"_a, "rates"_a, "centred"_a, "inputs"_a, "labels"_a,
          "targets"_a, "weights"_a, "repeats"_a, "span"_a, "test"_a, "loss"_a, "threshold"_a, "weight_decay"_a, "spectral_decoupling"_a, "start"_a, "method"_a,
          "measures"_a, "reduction"_a = py::dict(), "networks"_a, "first"_a, "seed"_a, "threads"_a, "engine"_a, "dtype"_a, "progress"_a,
          "tuning"_a = py::none());
}
