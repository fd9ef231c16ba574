// The measures: of samples and hidden units in a forward pass, and of parameters. Recorder combines them.
#pragma once

#include "shoal/gradient.hpp"
#include "shoal/record.hpp"

namespace shoal {

// Loss, error, soft error, margins, outputs and residuals on the samples of one task: call `clear`, `see` per block, `write`.
template <AnyLanes V>
class SampleMeasure {
  public:
    using T = typename V::Scalar;

    SampleMeasure(const Network& network, const Task<T>& task, const Loss& loss, const SampleRecord<T>& record)
        : network_(network), task_(task), loss_(loss), record_(record) {}

    void clear() { sums_ = {}; }

    template <class Pass>  // the gradient, or anything else with its `output`
    void see(int first, int count, const Pass& pass, const Sight<V>& sight) {
        if (!record_.wanted()) return;
        for (int s = 0; s < count && (record_.output || record_.residual); ++s) put_outputs(first + s, pass, s, sight);
        if (task_.labels.empty()) {
            for (int s = 0; s < count; ++s) add(first + s, loss_of_sample(first + s, pass, s), V(0), V(0));
            return;
        }
        for (int begin = 0; begin < count; begin += V::width) {
            V margins[V::width];
            const int end = std::min(begin + V::width, count);
            if (network_.outputs() == 1)
                loss_.kind.with([&](auto loss) {
                    for (int s = begin; s < end; ++s) margins[s - begin] = see_logit(loss, first + s, pass.output(s, 0));
                });
            else
                for (int s = begin; s < end; ++s) margins[s - begin] = see_logits(first + s, pass, s);
            if (record_.margin) put_margins(&task_.place[first + begin], end - begin, margins, sight);
        }
    }

    void write(const Sight<V>& sight) const {
        sight.put(record_.loss, 1, 0, sums_.loss);
        sight.put(record_.error, 1, 0, sums_.error);
        sight.put(record_.soft_error, 1, 0, sums_.soft_error);
        forget(sight);
    }

    // Writes NaN for lanes that are lost.
    void forget(const Sight<V>& sight) const {
        for_each_array([&](T* array, std::int64_t size) { sight.forget(array, size); });
    }
    void hold(const Sight<V>& sight) const {
        for_each_array([&](T* array, std::int64_t size) { sight.hold(array, size); });
    }

  private:
    // Calls act(array, its numbers per network and time) for each array, null or not.
    template <class Act>
    void for_each_array(Act&& act) const {
        for (T* array : {record_.loss, record_.error, record_.soft_error}) act(array, 1);
        act(record_.margin, task_.samples);
        for (T* array : {record_.output, record_.residual}) act(array, task_.samples * std::int64_t(network_.outputs()));
    }

    struct Sums {
        V loss = 0, error = 0, soft_error = 0;
    };

    void add(int sample, V loss, V error, V soft_error) {
        if (const V p = task_.weights[sample]; sample < task_.learnt) {  // weight 0 times an infinite loss would be NaN
            sums_.loss = fma(p, loss, sums_.loss);
            sums_.error = fma(p, error, sums_.error);
            sums_.soft_error = fma(p, soft_error, sums_.soft_error);
        }
    }
    void put_margins(const int* place, int count, const V* margins, const Sight<V>& sight) const {
        bool side_by_side = true;
        for (int n = 1; n < count; ++n) side_by_side &= place[n] == place[0] + n;
        if (side_by_side) return sight.put_row(record_.margin, task_.samples, place[0], count, [&](std::int64_t n) { return margins[n]; });
        for (int n = 0; n < count; ++n) sight.put(record_.margin, task_.samples, place[n], margins[n]);
    }
    // The loss of a sample that has targets.
    template <class Pass>
    V loss_of_sample(int sample, const Pass& pass, int row) const {
        return loss_of_targets<V>(network_.outputs(), [&](int k) { return task_.target(sample, k); }, [&](int k) { return pass.output(row, k); });
    }
    template <class Pass>
    void put_outputs(int sample, const Pass& pass, int row, const Sight<V>& sight) const;
    template <class Kind>
    V see_logit(Kind loss, int sample, V logit);
    template <class Pass>
    V see_logits(int sample, const Pass& pass, int row);

    const Network& network_;
    const Task<T>& task_;
    Loss loss_;
    const SampleRecord<T>& record_;
    Sums sums_;
};

// The outputs o, and o - y: what they are more than their targets, or a single one more than its label.
template <AnyLanes V>
template <class Pass>
void SampleMeasure<V>::put_outputs(int sample, const Pass& pass, int row, const Sight<V>& sight) const {
    const std::int64_t outputs = network_.outputs(), place = task_.place[sample] * outputs, each = task_.samples * outputs;
    for (int k = 0; k < outputs; ++k) {
        const V o = pass.output(row, k);
        sight.put(record_.output, each, place + k, o);
        if (record_.residual) sight.put(record_.residual, each, place + k, o - V(task_.target(sample, k)));
    }
}

// One output: the margin, which is returned, is y f; a margin of exactly 0 counts as half an error.
template <AnyLanes V>
template <class Kind>
EIGEN_ALWAYS_INLINE V SampleMeasure<V>::see_logit(Kind loss, int sample, V logit) {
    const V zero = 0, half = 0.5, one = 1;
    const V m = V(T(task_.labels[sample])) * logit;
    const V error = where_less(zero, m, zero, where_less(m, zero, one, half));
    add(sample, record_.loss ? loss.value(V(T(loss_.threshold)), m) : zero, error, record_.soft_error ? sigmoid_of_minus(m) : zero);
    return m;
}

// K outputs: with v = ln sum_{j != y} e^{o_j} - o_y, the loss is ln(1 + e^v), unless there are targets, and the soft error 1/(1 + e^-v). A tie with j others at
// the top counts as an error of j/(j+1).
template <AnyLanes V>
template <class Pass>
V SampleMeasure<V>::see_logits(int sample, const Pass& pass, int row) {
    const V zero = 0, one = 1;
    const int outputs = network_.outputs(), own = int(task_.labels[sample]);
    const V o = pass.output(row, own);
    const V top = largest_other(outputs, own, [&](int k) { return pass.output(row, k); });
    V sum = zero, ties = zero;
    for (int k = 0; k < outputs; ++k)
        if (k != own) {
            const V other = pass.output(row, k);
            sum = sum + exp(other - top);
            ties = ties + where_less(other, o, zero, where_less(o, other, zero, one));
        }
    // sum - sum is 0, or NaN if an output is not finite: log alone may return a number there.
    const V v = top + (log(sum) + (sum - sum)) - o, m = o - top;
    const V error = where_less(zero, m, zero, where_less(m, zero, one, ties / (ties + one)));
    const V loss = task_.targets.empty() ? CrossEntropy::value(zero, -v) : loss_of_sample(sample, pass, row);
    add(sample, loss, error, sigmoid_of_minus(-v));
    return m;
}

// The training samples on which each hidden unit is active: call `clear`, `see` per block, `write`. Counts are in double precision, which holds all integers up
// to 2^53; single precision would stop counting at 2^24.
template <AnyLanes V>
class UnitMeasure {
  public:
    using T = typename V::Scalar;

    UnitMeasure(const Network& network, const Task<T>& task, const Record<T>& record)
        : network_(network), task_(task), record_(record), counts_(std::size_t(network.units()) * V::count) {}

    void clear() { std::fill(counts_.begin(), counts_.end(), 0.0); }

    void see(int first, int count, const Gradient<V>& pass, const Sight<V>& sight) {
        if (!record_.looks_at_units()) return;
        for (int l = 0, unit = 0; l < network_.hidden_layers(); ++l)
            for (int o = 0; o < network_.layers[l].outputs; ++o, ++unit)
                for (int s = 0; s < count; ++s) {
                    const V active = pass.active(l, s, o);
                    alignas(64) T lanes[V::count];
                    active.store(lanes);
                    for (int lane = 0; lane < V::count; ++lane) counted(unit, lane) += task_.repeats[first + s] * double(lanes[lane]);
                    sight.put(record_.pattern, each(), std::int64_t(unit) * task_.samples + task_.place[first + s], active);
                }
    }

    // Sets the count of a unit, the same in all lanes, for callers that count elsewhere.
    void take(int unit, double count) { std::fill_n(&counted(unit, 0), V::count, count); }

    void write(const Sight<V>& sight) const {
        if (!record_.looks_at_units()) return;
        for (int l = 0, unit = 0; l < network_.hidden_layers(); ++l) {
            double layer[V::count] = {};
            for (int o = 0; o < network_.layers[l].outputs; ++o, ++unit) {
                const double* const counts = &counts_[std::size_t(unit) * V::count];
                for (int lane = 0; lane < V::count; ++lane) layer[lane] += counts[lane];
                sight.put(record_.unit_active, network_.units(), unit, fraction(counts, task_.repeated));
            }
            sight.put(record_.active, network_.hidden_layers(), l, fraction(layer, task_.repeated * network_.layers[l].outputs));
        }
        for_each_array([&](auto* array, std::int64_t size) { sight.forget(array, size); });
    }

    void hold(const Sight<V>& sight) const {
        for_each_array([&](auto* array, std::int64_t size) { sight.hold(array, size); });
    }

  private:
    template <class Act>
    void for_each_array(Act&& act) const {
        act(record_.active, network_.hidden_layers());
        act(record_.unit_active, network_.units());
        act(record_.pattern, each());
    }

    std::int64_t each() const { return std::int64_t(network_.units()) * task_.samples; }
    double& counted(int unit, int lane) { return counts_[std::size_t(unit) * V::count + lane]; }
    static V fraction(const double* counts, double whole) {
        alignas(64) T lanes[V::count];
        for (int lane = 0; lane < V::count; ++lane) lanes[lane] = T(counts[lane] / whole);
        return V::load(lanes);
    }

    const Network& network_;
    const Task<T>& task_;
    const Record<T>& record_;
    std::vector<double> counts_;  // samples on which the unit is active: units x lanes
};

// The Euclidean norm of of(0), ..., of(count - 1), summed in this order. The numbers are scaled by the largest, so that no square overflows or underflows.
// Infinite if a number is infinite, NaN if one is NaN.
template <AnyLanes V, class Of>
V norm(std::int64_t count, Of&& of) {
    const V zero = 0, one = 1, infinite = std::numeric_limits<typename V::Scalar>::infinity();
    V largest = 0, sum = 0;
    for (std::int64_t n = 0; n < count; ++n) largest = max(largest, abs(of(n)));
    const V unit = where_less(zero, largest, where_less(largest, infinite, largest, one), one);
    for (std::int64_t n = 0; n < count; ++n) {
        const V part = of(n) / unit;
        sum = fma(part, part, sum);
    }
    return unit * sqrt(sum);
}

// Measures of the parameters alone, and of their gradient.
template <AnyLanes V>
class ParameterMeasure {
  public:
    using T = typename V::Scalar;

    ParameterMeasure(const Network& network, const Record<T>& record) : network_(network), record_(record) {}

    // `initial` are the parameters at initialisation; they are read only if the distance from them is recorded.
    template <class Parameters>  // a pack, or anything else with its numbers
    void write(const Parameters& parameters, const Parameters& initial, const Sight<V>& sight) const {
        if (record_.distance) sight.put(record_.distance, 1, 0, norm<V>(network_.parameters, [&](std::int64_t n) { return parameters[n] - initial[n]; }));
        write_norms(parameters, sight);
        write_balance(parameters, sight);
        write_trajectory(parameters, sight);
        forget(sight);
    }
    template <class Parameters>
    void write_gradient(const Parameters& gradient, const Sight<V>& sight) const {
        sight.put(record_.gradient_norm, 1, 0, norm<V>(network_.parameters, [&](std::int64_t n) { return gradient[n]; }));
    }
    // Writes NaN for lanes that are lost.
    void forget(const Sight<V>& sight) const {
        for_each_array(sight, [&](T* array, std::int64_t size) { sight.forget(array, size); });
    }
    void hold(const Sight<V>& sight) const {
        for_each_array(sight, [&](T* array, std::int64_t size) { sight.hold(array, size); });
    }
    // `velocity` is read only if it is recorded.
    template <class Parameters>
    void write_end(const PackLanes<V>& lanes, int lane, const Parameters& parameters, const Parameters& velocity) const {
        write_layers(lanes, lane, false, parameters, record_.weights, record_.biases);
        write_layers(lanes, lane, true, velocity, record_.velocity, record_.velocity_biases);
        record_.status[lanes.network[lane]] = lanes.status[lane];
        record_.stopped_at[lanes.network[lane]] = lanes.stopped_at[lane];
    }

  private:
    template <class Parameters>
    void write_norms(const Parameters& parameters, const Sight<V>& sight) const;
    template <class Parameters>
    void write_balance(const Parameters& parameters, const Sight<V>& sight) const;
    template <class Parameters>
    void write_trajectory(const Parameters& parameters, const Sight<V>& sight) const;
    template <class Parameters>
    void write_whole(const Parameters& parameters, const Sight<V>& sight) const;
    template <class Parameters>
    void write_first(const PackLanes<V>& lanes, int lane, bool moving, const Parameters& parameters, T* to) const;
    template <class Parameters>
    void write_layers(const PackLanes<V>& lanes, int lane, bool moving, const Parameters& parameters, const std::vector<T*>& weights,
                      const std::vector<T*>& biases) const;
    template <class Act>
    void for_each_array(const Sight<V>& sight, Act&& act) const;
    std::int64_t first_size(const Sight<V>& sight) const { return first_size(sight.lanes()); }
    std::int64_t first_size(const PackLanes<V>& lanes) const {
        const Layer& layer = network_.layers.front();
        return std::int64_t(lanes.unmet.span ? lanes.unmet.span->dimension : layer.inputs) * layer.outputs;
    }

    const Network& network_;
    const Record<T>& record_;
};

template <AnyLanes V>
template <class Parameters>
void ParameterMeasure<V>::write_norms(const Parameters& parameters, const Sight<V>& sight) const {
    if (!record_.layer_norm) return;
    const auto layers = std::int64_t(network_.layers.size());
    for (std::int64_t l = 0; l < layers; ++l) {
        const Layer& layer = network_.layers[l];
        V sum = 0;
        for (int unit = 0; l == 0 && unit < layer.outputs; ++unit) sum = sum + sight.lanes().unmet.square(unit);
        for (int n = 0; n < layer.inputs * layer.outputs; ++n) sum = fma(parameters[layer.weights + n], parameters[layer.weights + n], sum);
        sight.put(record_.layer_norm, layers, l, sqrt(sum));
    }
}

// |weights and bias into a hidden unit|^2 - r_in / r_out |weights out of it|^2. Gradient flow conserves it where phi(a) = phi'(a) a, whatever the scales.
template <AnyLanes V>
template <class Parameters>
void ParameterMeasure<V>::write_balance(const Parameters& parameters, const Sight<V>& sight) const {
    if (!record_.balance) return;
    std::int64_t item = 0;
    for (int l = 0; l < network_.hidden_layers(); ++l) {
        const Layer &in = network_.layers[l], &out = network_.layers[l + 1];
        const V ratio = T(in.rate / out.rate);
        for (int unit = 0; unit < in.outputs; ++unit) {
            V incoming = l == 0 ? sight.lanes().unmet.square(unit) : V(0), outgoing = 0;
            const auto add_square = [&](V& sum, int number) { sum = fma(parameters[number], parameters[number], sum); };
            for (int k = 0; k < in.inputs; ++k) add_square(incoming, in.weights + unit * in.inputs + k);
            if (in.biases >= 0) add_square(incoming, in.biases + unit);
            for (int o = 0; o < out.outputs; ++o) add_square(outgoing, out.weights + o * out.inputs + unit);
            sight.put(record_.balance, network_.units(), item++, incoming - ratio * outgoing);
        }
    }
}

template <AnyLanes V>
template <class Parameters>
void ParameterMeasure<V>::write_trajectory(const Parameters& parameters, const Sight<V>& sight) const {
    const auto copy = [&](T* array, int from, std::int64_t size) { sight.put_row(array, size, 0, size, [&](std::int64_t n) { return parameters[from + n]; }); };
    for (std::size_t l = 0; l < record_.trajectory.size(); ++l) {
        const Layer& layer = network_.layers[l];
        if (l == 0 && sight.lanes().unmet.span)
            write_whole(parameters, sight);
        else
            copy(record_.trajectory[l], layer.weights, std::int64_t(layer.inputs) * layer.outputs);
        if (!record_.trajectory_biases.empty()) copy(record_.trajectory_biases[l], layer.biases, layer.outputs);
    }
}

// The first layer's weights in all inputs, if training uses the coordinates of a span.
template <AnyLanes V>
template <class Parameters>
void ParameterMeasure<V>::write_whole(const Parameters& parameters, const Sight<V>& sight) const {
    const std::int64_t size = first_size(sight);
    sight.each_lane(record_.trajectory[0], size, [&](int lane, T* to) { write_first(sight.lanes(), lane, false, parameters, to); });
}

template <AnyLanes V>
template <class Parameters>
void ParameterMeasure<V>::write_first(const PackLanes<V>& lanes, int lane, bool moving, const Parameters& parameters, T* to) const {
    const Layer& layer = network_.layers.front();
    for (int o = 0; o < layer.outputs; ++o)
        lanes.unmet.write(lane, o, layer.outputs, moving, parameters.at(layer.weights + o * layer.inputs) + lane, Parameters::apart,
                          to + std::int64_t(o) * lanes.unmet.span->dimension);
}

// Calls act(array, its numbers per network and time) for each array, null or not.
template <AnyLanes V>
template <class Act>
void ParameterMeasure<V>::for_each_array(const Sight<V>& sight, Act&& act) const {
    act(record_.layer_norm, std::int64_t(network_.layers.size()));
    act(record_.balance, network_.units());
    for (T* array : {record_.gradient_norm, record_.distance, record_.sharpness}) act(array, 1);
    for (std::size_t l = 0; l < record_.trajectory.size(); ++l) {
        const Layer& layer = network_.layers[l];
        act(record_.trajectory[l], l == 0 ? first_size(sight) : std::int64_t(layer.inputs) * layer.outputs);
        if (!record_.trajectory_biases.empty()) act(record_.trajectory_biases[l], layer.outputs);
    }
}

// Writes one lane's weights after its last step, or their velocity.
template <AnyLanes V>
template <class Parameters>
void ParameterMeasure<V>::write_layers(const PackLanes<V>& lanes, int lane, bool moving, const Parameters& parameters, const std::vector<T*>& weights,
                                       const std::vector<T*>& biases) const {
    const std::int64_t network = lanes.network[lane];
    const bool lost = lanes.status[lane] == Status::diverged;  // a flow that gave up has a last state, from which it can be resumed
    const auto copy = [&](T* array, int from, std::int64_t size) {
        for (std::int64_t n = 0; n < size; ++n) array[network * size + n] = lost ? std::numeric_limits<T>::quiet_NaN() : parameters.at(from + n)[lane];
    };
    for (std::size_t l = 0; l < weights.size(); ++l) {
        const Layer& layer = network_.layers[l];
        if (l == 0 && lanes.unmet.span && !lost)
            write_first(lanes, lane, moving, parameters, weights[0] + network * first_size(lanes));
        else
            copy(weights[l], layer.weights, l == 0 ? first_size(lanes) : std::int64_t(layer.inputs) * layer.outputs);
        if (!biases.empty()) copy(biases[l], layer.biases, layer.outputs);
    }
}

}  // namespace shoal
