// Checks that the parts of a request fit together: whatever passes here trains without error, and ends.
#pragma once

#include "request.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>
#include <set>

namespace shoal::bindings {

// Checks the widths, and that an int can number their parameters.
inline void check_widths(const std::vector<int>& widths) {
    require(widths.size() >= 2, "widths", "at least the inputs and the outputs", std::to_string(widths.size()) + " numbers");
    std::int64_t parameters = 0;
    for (std::size_t l = 0; l < widths.size(); ++l) {
        require(widths[l] >= 1, "widths", "positive", widths[l]);
        if (l > 0) parameters += (std::int64_t(widths[l - 1]) + 1) * widths[l];
        require(parameters <= std::numeric_limits<int>::max(), "widths", "of at most 2147483647 parameters", "more");
    }
}

inline void check_counts(std::int64_t samples, std::int64_t test_samples, std::int64_t networks, int threads) {
    constexpr int most = std::numeric_limits<int>::max();
    require(samples >= 1 && samples <= most, "samples", "from 1 to 2147483647", samples);
    require(test_samples >= 0 && test_samples <= most, "test samples", "from 0 to 2147483647", test_samples);
    require(networks >= 1, "networks", "positive", networks);
    require(threads >= 1 && threads <= 1 << 20, "threads", "from 1 to 1048576", threads);
}

inline void check_tuning(const shoal::Tuning& tuning) {
    for (const std::int64_t bytes : {tuning.nearest_cache, tuning.second_cache})
        require(bytes >= 1 && bytes <= std::int64_t(1) << 40, "tuning", "of caches from 1 to 2^40 bytes", bytes);
}

template <class T, class Numbers>
void check_numbers(const Numbers& numbers, const std::string& name, bool may_be_zero) {
    const auto holds = [&](double number) { return std::isfinite(number) && std::isfinite(T(number)) && (may_be_zero ? number >= 0 : number > 0); };
    require_each(numbers, holds, name, std::string(may_be_zero ? "finite and not negative" : "finite and positive") + " in the dtype");
}

template <class T>
void check_number(double number, const std::string& name, bool may_be_zero) {
    check_numbers<T>(std::array{number}, name, may_be_zero);
}

inline void check_one_a_layer(const std::vector<double>& numbers, std::size_t layers, const std::string& name) {
    require(numbers.empty() || numbers.size() == layers, name, "one number per layer, or none", std::to_string(numbers.size()) + " numbers");
    require_each(numbers, [](double number) { return std::isfinite(number) && number > 0; }, name, "finite and positive");
}

template <class T>
void check_finite(const Array<double>& numbers, const std::string& name) {
    const double largest = std::numeric_limits<T>::max();
    require_each(numbers, [&](double number) { return std::abs(number) <= largest; }, name, "finite in the dtype");
}

// Checks that the arrays of samples fit each other and the network.
template <class T>
void check_samples(const std::string& of, const Samples& samples, int outputs) {
    const auto& [inputs, labels, targets, weights] = samples;
    check_finite<T>(inputs, of + "inputs");
    if (targets) check_finite<T>(*targets, of + "targets");
    require(labels.has_value() || targets.has_value(), of + "labels", "given unless targets are", "neither");
    require(outputs > 1 || !labels || !targets, of + "labels", "left out where a single output has targets", "both");
    const auto known = [&](std::int64_t y) { return outputs == 1 ? y == -1 || y == 1 : y >= 0 && y < outputs; };
    if (labels) require_each(*labels, known, of + "labels", outputs == 1 ? "-1 or +1 for one output" : "from 0 to " + std::to_string(outputs - 1));
    require_each(weights, [](double p) { return std::isfinite(p) && p >= 0; }, of + "weights", "finite and not negative");
    const double sum = std::accumulate(weights.data(), weights.data() + weights.size(), 0.0);
    require(std::abs(sum - 1) <= 1e-6, of + "weights", "of sum 1", sum);
}

// Checks that the loss is one of the labels, or of the targets, and that nothing is asked that only labels have.
inline void check_loss(const Request& request) {
    const bool one = request.widths.back() == 1, squared = request.loss == "squared", targets = request.task.targets.has_value();
    require(one || squared || request.loss == "cross_entropy", "loss", "cross_entropy or squared for several outputs", request.loss);
    require(squared || !targets, "loss", "squared with targets", request.loss);
    require(targets || one || !squared, "targets", "given for the squared loss of several outputs", "none");
    if (request.test) {
        require(request.test->targets.has_value() == targets, "test targets", "given if and only if targets are", targets ? "none" : "some");
        require(request.test->labels.has_value() == request.task.labels.has_value(), "test labels", "given if and only if labels are", "another choice");
    }
    for (const std::string& measure : request.measures) {
        const std::string plain = measure.starts_with("test_") ? measure.substr(5) : measure;
        require(plain != "residual" || squared, "measures", "without residual unless the loss is squared", measure);
        require(request.task.labels || (plain != "error" && plain != "soft_error" && plain != "margin"), "measures", "of outputs without labels", measure);
    }
}

template <class T>
void check_task(const Request& request) {
    check_samples<T>("", request.task, request.widths.back());
    require_each(request.repeats, [](double repeats) { return repeats >= 1 && repeats <= 0x1p53; }, "repeats", "from 1 to 2^53");
    if (request.test) check_samples<T>("test ", *request.test, request.widths.back());
    check_loss(request);
    const py::ssize_t rank = request.span.shape(0);
    if (rank == 0) return;
    require(rank == request.widths.front() && rank <= request.span.shape(1), "span", "of as many rows as there are inputs, and no more than columns",
            shown(bindings::shape_of(request.span)));
    finite(request.span, "span");
    require(request.weight_decay == 0, "weight_decay", "0 with a span", request.weight_decay);
    std::vector<int> drawn = request.widths;
    require(request.span.shape(1) <= std::numeric_limits<int>::max(), "span", "of at most 2147483647 columns", request.span.shape(1));
    drawn.front() = int(request.span.shape(1));
    check_widths(drawn);
}

inline void check_start(const Request& request, const py::dict& start) {
    const std::size_t layers = request.widths.size() - 1;
    const auto kind = read<std::string>(start, "start", "kind");
    const py::ssize_t dimension = request.span.shape(0) > 0 ? request.span.shape(1) : request.widths.front();
    if (kind == "gaussian") {
        const auto scales = read<std::vector<double>>(start, "start", "scales");
        require(scales.size() == layers, "start['scales']", "one number per layer", std::to_string(scales.size()) + " numbers");
        check_numbers<double>(scales, "start['scales']", true);
    } else if (kind == "balanced") {
        check_number<double>(read<double>(start, "start", "scale"), "start['scale']", true);
    } else if (kind == "separated") {
        require(layers == 2, "widths", "of two layers for start separated", std::to_string(layers) + " layers");
        for (const char* name : {"scale", "output_scale"}) check_number<double>(read<double>(start, "start", name), name, true);
        const auto directions = finite(read_array<double>(entry(start, "start", "directions"), "start['directions']", {-1, dimension}), "start['directions']");
        const auto rows = read_array<std::int64_t>(entry(start, "start", "mode_direction"), "start['mode_direction']", {-1});
        finite(read_array<double>(entry(start, "start", "mode_sign"), "start['mode_sign']", {rows.size()}), "start['mode_sign']");
        require(rows.size() >= 1 && rows.size() <= std::numeric_limits<int>::max(), "start['mode_direction']", "of at least one mode", rows.size());
        require_each(rows, [&](std::int64_t row) { return row >= 0 && row < directions.shape(0); }, "start['mode_direction']", "a row of start['directions']");
    } else if (kind == "unit") {
        require(layers == 2 && request.widths.back() == 1, "widths", "of two layers and one output for start unit", std::to_string(layers) + " layers");
        const auto norms = read<std::vector<double>>(start, "start", "norms"), outputs = read<std::vector<double>>(start, "start", "outputs");
        const std::size_t units = std::size_t(request.widths[1]);
        require(norms.size() == units, "start['norms']", "one number per hidden unit", std::to_string(norms.size()) + " numbers");
        require(outputs.empty() || outputs.size() == units, "start['outputs']", "one number per hidden unit, or none",
                std::to_string(outputs.size()) + " numbers");
        check_numbers<double>(norms, "start['norms']", true);
        require_each(outputs, [](double output) { return std::isfinite(output); }, "start['outputs']", "finite");
    } else if (kind == "explicit") {
        const auto weights = read<py::list>(start, "start", "weights"), biases = read<py::list>(start, "start", "biases");
        require(weights.size() == layers, "start['weights']", "one array per layer", std::to_string(weights.size()) + " arrays");
        require(biases.size() == (request.bias ? layers : 0), "start['biases']", "one array per layer, or none without biases",
                std::to_string(biases.size()) + " arrays");
        for (std::size_t l = 0; l < layers; ++l) {
            const py::ssize_t inputs = l == 0 ? dimension : request.widths[l];
            finite(read_array<double>(weights[l], "start['weights']", {request.networks, request.widths[l + 1], inputs}), "start['weights']");
            if (request.bias) finite(read_array<double>(biases[l], "start['biases']", {request.networks, request.widths[l + 1]}), "start['biases']");
        }
    } else {
        throw py::value_error("start kind must be gaussian, balanced, separated, unit or explicit, got " + kind);
    }
    if (!start.contains("paired") || !read<bool>(start, "start", "paired")) return;
    require(kind != "explicit", "start['paired']", "left out for start explicit", kind);
    require(layers >= 2 && request.widths[layers - 1] % 2 == 0, "widths", "of an even last hidden layer for start['paired']", request.widths[layers - 1]);
}

template <class Number>
void check_records(const Array<Number>& records, Number last, const std::string& name) {
    require_each(records, [&](Number at) { return at >= 0 && at <= last; }, name, "from 0 to the end");
    const Number *const end = records.data() + records.size(), *const again = std::adjacent_find(records.data(), end, std::greater_equal());
    if (again != end) require(false, name, "increasing", again[1]);
}

// Returns how many records there are.
template <class T>
std::int64_t check_method(const Request& request) {
    const py::dict& method = request.method;
    const auto kind = read<std::string>(method, "method", "kind");
    if (kind == "descent") {
        const auto rates = read_array<double>(entry(method, "method", "rates"), "method['rates']", {-1});
        require(rates.size() == 1 || rates.size() == request.networks, "method['rates']", "one number, or one per network", rates.size());
        check_numbers<T>(rates, "method['rates']", false);
        const auto steps = read<std::int64_t>(method, "method", "steps");
        require(steps >= 0, "method['steps']", "not negative", steps);
        times(request.networks, steps, "networks x steps");
        const auto schedule = read_array<double>(entry(method, "method", "schedule"), "method['schedule']", {-1});
        require(schedule.size() == 0 || schedule.size() == steps, "method['schedule']", "one number per step, or none", schedule.size());
        check_numbers<T>(schedule, "method['schedule']", false);
        const auto momentum = read<double>(method, "method", "momentum");
        require(momentum >= 0 && momentum < 1, "method['momentum']", "from 0 to 1, without 1", momentum);
        read<bool>(method, "method", "nesterov");
        const auto records = read_array<std::int64_t>(entry(method, "method", "record_steps"), "method['record_steps']", {-1});
        check_records(records, steps, "method['record_steps']");
        for (const char* rule : {"fitted", "satisfied", "dead", "retire"}) {
            const bool holds = read<bool>(method, "method", rule);
            require(!holds || request.task.labels || (*rule != 'f' && *rule != 's'), "method", "without a rule on margins if there are no labels", rule);
        }
        return records.size();
    }
    require(kind == "flow" && std::is_same_v<T, double>, "method", "descent, or flow in float64", kind);
    const double until = read<double>(method, "method", "until"), rtol = read<double>(method, "method", "rtol");
    check_number<T>(until, "method['until']", false);
    require(rtol >= 1e-15 && rtol <= 1, "method['rtol']", "from 1e-15 to 1", rtol);
    check_number<T>(read<double>(method, "method", "atol"), "method['atol']", true);
    const auto most = read<std::int64_t>(method, "method", "max_steps");
    require(most >= 1, "method['max_steps']", "positive", most);
    const auto records = read_array<double>(entry(method, "method", "record_times"), "method['record_times']", {-1});
    check_records(records, until, "method['record_times']");
    return records.size();
}

inline void check_reduction(const Request& request) {
    const py::dict& asked = request.reduction;
    if (asked.empty()) return;
    const auto cell = read<std::int64_t>(asked, "reduction", "cell");
    const int stretch = read<int>(asked, "reduction", "stretch"), bits = read<int>(asked, "reduction", "bits");
    require(cell >= 1, "reduction['cell']", "positive", cell);
    require(stretch >= 1, "reduction['stretch']", "positive", stretch);
    require(bits >= 0 && bits <= 16, "reduction['bits']", "from 0 to 16", bits);
    times(cell, stretch, "reduction['cell'] x reduction['stretch']");
    read<bool>(asked, "reduction", "stops");
    const std::set<std::string> measures(request.measures.begin(), request.measures.end());
    const auto check = [&](const std::string& measure, const std::string& name) { require(measures.contains(measure), name, "of what is measured", measure); };
    for (const auto& [one, other] : read<std::vector<std::pair<std::string, std::string>>>(asked, "reduction", "pairs"))
        check(one, "reduction['pairs']"), check(other, "reduction['pairs']");
    for (const auto& [measure, relation, threshold] : read<std::vector<std::tuple<std::string, std::string, double>>>(asked, "reduction", "events")) {
        check(measure, "reduction['events']");
        require(!std::isnan(threshold), "reduction['events']", "compared with numbers", threshold);
    }
    const auto distributed = read<std::vector<std::string>>(asked, "reduction", "distributed");
    for (const std::string& measure : distributed) check(measure, "reduction['distributed']");
    require_distinct(distributed, "reduction['distributed']");
}

// Checks that the bytes of all results can be counted.
inline void check_size(const Request& request, std::int64_t records) {
    std::int64_t largest = request.task.inputs.shape(0), units = 0;  // numbers per network and time
    if (request.test) largest = std::max<std::int64_t>(largest, request.test->inputs.shape(0));
    largest = times(largest, request.widths.back(), "samples x outputs");
    for (const std::string& measure : request.measures)
        if (measure == "tangent_kernel") largest = std::max(largest, times(request.task.inputs.shape(0), request.task.inputs.shape(0), "samples x samples"));
    for (std::size_t l = 0; l + 1 < request.widths.size(); ++l) {
        const std::int64_t inputs = l == 0 && request.span.shape(0) > 0 ? request.span.shape(1) : request.widths[l];
        largest = std::max(largest, times(inputs, request.widths[l + 1], "widths"));
        if (l > 0) units += request.widths[l];
    }
    largest = std::max(largest, times(units, request.task.inputs.shape(0), "samples x hidden units"));
    const std::int64_t each = times(times(largest, std::max<std::int64_t>(records, 1), "numbers x records"), 4 * sizeof(double), "numbers x records");
    std::int64_t together = request.networks;
    if (!request.reduction.empty()) {
        const auto cell = read<std::int64_t>(request.reduction, "reduction", "cell");
        times(each, shoal::Bins{read<int>(request.reduction, "reduction", "bits")}.count(), "numbers x records x bins");
        together = std::max(request.networks / cell + 2, std::min(request.networks, cell * read<int>(request.reduction, "reduction", "stretch")));
    }
    times(each, together, "networks x numbers x records");
}

template <class T>
void check(const Request& request) {
    const std::size_t layers = request.widths.size() - 1;
    require(request.slope >= 0 && request.slope <= 1, "slope", "from 0 to 1", request.slope);
    check_one_a_layer(request.scales, layers, "scales");
    check_one_a_layer(request.rates, layers, "rates");
    check_number<T>(request.threshold, "threshold", false);
    check_number<T>(request.weight_decay, "weight_decay", true);
    check_number<T>(request.spectral_decoupling, "spectral_decoupling", true);
    require(request.first >= 0 && request.first <= std::numeric_limits<std::int64_t>::max() - request.networks, "first",
            "not negative, and countable with the networks", request.first);
    require(request.progress.is_none() || PyCallable_Check(request.progress.ptr()), "progress", "a function or None", type_of(request.progress));
    check_tuning(request.tuning);
    check_task<T>(request);
    check_start(request, request.start);
    for (const char* name : {"resumed", "velocity"}) {
        if (!request.start.contains(name)) continue;
        const auto given = read<py::dict>(request.start, "start", name);
        const auto kind = read<std::string>(given, name, "kind");
        require(kind == "explicit", std::string(name) + " kind", "explicit", kind);
        check_start(request, given);
    }
    require_distinct(request.measures, "measures");
    check_reduction(request);
    check_size(request, check_method<T>(request));
}

}  // namespace shoal::bindings
