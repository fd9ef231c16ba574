// The passes of wide_gradient.hpp, in the order in which a block goes through them.
#pragma once

#include "shoal/wide_gradient.hpp"

namespace shoal::wide {

template <class T>
Passes<T>::Passes(const Network& network, const Loss& loss, const Tuning& tuning) : network_(network), loss_(loss), panel_bytes_(tuning.panel_bytes()) {
    constexpr int rows = most_block_samples;
    std::int64_t widest_lanes = 0, widest_scalars = 0;
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
        const Layer& layer = network.layers[l];
        const bool is_head = int(l) == network.hidden_layers();
        const int above = groups<V>(layer.outputs), under = groups<V>(layer.inputs);
        plans_.push_back(
            {Plan::of<V>(Pass::forward, rows, above, layer.inputs),
             is_head ? Plan::of<V>(Pass::weight_gradient, under, layer.outputs, rows) : Plan::of<V>(Pass::weight_gradient, above, layer.inputs, rows),
             Plan::of<V>(Pass::forward, rows, under, layer.outputs)});
        if (!is_head) {
            values_.emplace_back(rows * row_numbers<T>(layer.outputs) / L);
            back_.emplace_back(int(l) + 1 < network.hidden_layers() || network.outputs() > 1 || l > 0 ? rows * row_numbers<T>(layer.outputs) / L : 0);
        }
        widest_lanes = std::max(widest_lanes, filled<T>(is_head ? layer.inputs : layer.outputs));
        widest_scalars = std::max(widest_scalars, filled<T>(is_head ? layer.outputs : layer.inputs));
    }
    outputs_ = Pack<V>(rows * row_numbers<T>(network.outputs()) / L);
    deltas_ = Pack<V>(rows * filled<T>(network.outputs()) / L);
    lanes_ = Pack<V>(rows * widest_lanes / L);
    scalars_ = Pack<V>(rows * widest_scalars / L);
    rows_.reserve(rows);
    gathered_.resize(std::int64_t(rows) * network.inputs());
}

template <class T>
std::int64_t Passes<T>::bytes(const Network& network) {
    std::int64_t numbers = network.inputs(), widest = 0;
    for (const Layer& layer : network.layers) {
        numbers += 2 * row_numbers<T>(layer.outputs);
        widest = std::max({widest, filled<T>(layer.inputs), filled<T>(layer.outputs)});
    }
    return most_block_samples * (numbers + 2 * widest) * std::int64_t(sizeof(T));
}

// Returns the inputs of a block: in place, or a copy in which its samples are consecutive.
template <class T>
const T* Passes<T>::find_inputs(const Task<T>& task, const Block& block) {
    const std::int64_t inputs = network_.inputs();
    if (!block.members) return task.inputs.data() + block.first * inputs;
    for (int s = 0; s < block.count; ++s) std::copy_n(task.inputs.data() + block.members[s] * inputs, inputs, gathered_.data() + s * inputs);
    return gathered_.data();
}

template <class T>
void Passes<T>::forward(const Model<T>& model, Samples<T>& samples, const Block& block) {
    const int count = block.count;
    inputs_ = find_inputs(samples.task, block);
    const Activation phi = network_.activation;
    for (int l = 0; l < int(network_.layers.size()) && model.reads_above(l); ++l) {
        const Layer& layer = network_.layers[l];
        const bool hidden = l < network_.hidden_layers();
        const T* const biases = layer.biases < 0 ? nullptr : model.biases[l].at(0);
        Pack<V>& to = hidden ? values_[l] : outputs_;
        const std::int64_t row = row_numbers<T>(layer.outputs);
        Plan plan = plans_[l].forward;
        plan.rows = rows_of(plan, count);
        multiply_rows<V>(plan, panel_bytes_,
                         {.a = below(l),
                          .b = model.above[l].at(0),
                          .c = to.at(0),
                          .below = below_row(l),
                          .above = row / L,
                          .inputs = layer.inputs,
                          .terms = layer.inputs,
                          .begin = biases ? Begin::column : Begin::zero,
                          .column = biases,
                          .finish = hidden && is_piecewise_linear(phi) ? Finish::activate : Finish::store,
                          .activation = phi,
                          .slope = T(network_.slope)});
        if (hidden && !is_piecewise_linear(phi)) activate_all<V>(phi, to.at(0), count, row / L, row / L);
    }
    if (network_.outputs() == 1) dot(model, count);
    const int outputs = network_.outputs();
    const std::int64_t row = row_numbers<T>(outputs);
    for (int s = 0; s < count; ++s) {
        const std::int64_t first = std::int64_t(block.sample(s)) * outputs;
        for (int k = 0; k < outputs; ++k) {
            T& output = outputs_.at(0)[s * row + k];
            if (network_.centred) output -= samples.at_start[first + k];
            samples.outputs[first + k] = output;
        }
    }
}

// Computes a single output: as many partial sums as a cache line has numbers, whatever L is, then a tree. Four samples at a time hide the latency.
template <class T>
void Passes<T>::dot(const Model<T>& model, int count) {
    constexpr int parts = line<T> / L, together = 4;
    const Layer& layer = network_.layers.back();
    const Pack<V>&h = values_.back(), &z = model.below.back();
    const std::int64_t row = row_numbers<T>(layer.inputs) / L;
    const int all = groups<V>(layer.inputs);
    for (int s = 0; s < count; s += together) {
        V sum[together][parts];
        std::int64_t rows[together];
        for (int i = 0; i < together; ++i) {
            rows[i] = std::min(s + i, count - 1) * row;
            for (int p = 0; p < parts; ++p) sum[i][p] = 0;
        }
        for (int g = 0; g < all; g += parts) SHOAL_UNROLL for (int p = 0; p < parts; ++p) {
                const V weight = z[g + p];
                SHOAL_UNROLL for (int i = 0; i < together; ++i) sum[i][p] = fma(h[rows[i] + g + p], weight, sum[i][p]);
            }
        for (int i = 0; i < together && s + i < count; ++i) {
            alignas(64) T numbers[line<T>];
            for (int p = 0; p < parts; ++p) sum[i][p].store(numbers + p * L);
            for (int half = line<T> / 2; half > 0; half /= 2)
                for (int n = 0; n < half; ++n) numbers[n] += numbers[n + half];
            outputs_.at(0)[(s + i) * row_numbers<T>(1)] = layer.biases < 0 ? numbers[0] : numbers[0] + model.biases.back().at(0)[0];
        }
    }
}

template <class T>
bool Passes<T>::lost(const Samples<T>& samples, const Block& block) const {
    const int outputs = network_.outputs();
    V seen = 0;
    if (outputs == 1) {
        for (int s = 0; s < block.count; s += L) {
            alignas(64) T margins[L] = {};
            for (int i = 0; i < std::min(L, block.count - s); ++i) {
                const int sample = block.sample(s + i);
                margins[i] = samples.signs[sample] * samples.outputs[sample];
            }
            seen = gather_not_finite(seen, loss_.witness(V::load(margins)));
        }
        return gathered(seen);
    }
    for (int s = 0; s < block.count; ++s) {
        const int sample = block.sample(s);
        const T* const o = samples.outputs.data() + std::int64_t(sample) * outputs;
        seen = gather_not_finite(seen, V(witness_of_logits(outputs, int(samples.task.labels[sample]), [o](int k) { return o[k]; })));
    }
    return gathered(seen);
}

template <class T>
bool Passes<T>::some_active(int layer, const Block& block) const {
    const int outputs = network_.layers[layer].outputs;
    for (int n = 0; n < block.count; ++n) {
        const T* const h = values_[layer].at(n * row_numbers<T>(outputs) / L);
        if (std::any_of(h, h + outputs, [&](T value) { return value > active_above(network_.activation); })) return true;
    }
    return false;
}

template <class T>
void Passes<T>::see_units(int first, int count, const Task<T>& task, Activity<T>& activity) const {
    const T above = T(active_above(network_.activation));
    std::int64_t before = 0;
    for (int l = 0; l < network_.hidden_layers(); before += network_.layers[l++].outputs) {
        const int outputs = network_.layers[l].outputs;
        for (int s = 0; s < count; ++s) {
            const T* const h = values_[l].at(s * row_numbers<T>(outputs) / L);
            const double repeats = task.repeats[first + s];
            double* const counts = activity.counts[l].data();
            for (int o = 0; o < outputs; ++o) counts[o] += h[o] > above ? repeats : 0.0;
            for (int o = 0; activity.pattern && o < outputs; ++o) activity.pattern[(before + o) * task.samples + task.place[first + s]] = h[o] > above;
        }
    }
}

template <class T>
void Passes<T>::find_residuals(const Samples<T>& samples, const Block& block) {
    rows_.clear();
    if (network_.outputs() > 1) return residuals_of_logits(samples, block);
    loss_.kind.with([&](auto loss) { margin_residuals<decltype(loss)>(samples, block); });
}

// delta = -p y r(y f) + S p f, L samples at a time; keeps those that are not 0.
template <class T>
template <class Kind>
void Passes<T>::margin_residuals(const Samples<T>& samples, const Block& block) {
    const std::int64_t row = row_numbers<T>(1);
    for (int s = 0; s < block.count; s += L) {
        const int some = std::min(L, block.count - s);
        alignas(64) T f[L] = {}, y[L] = {}, minus_yp[L] = {}, decouple[L] = {};
        for (int i = 0; i < some; ++i) {
            const int sample = block.sample(s + i);
            f[i] = outputs_.at(0)[(s + i) * row], y[i] = samples.signs[sample], minus_yp[i] = samples.pulls[sample];
            if (!samples.decouples.empty()) decouple[i] = samples.decouples[sample];
        }
        V delta = V::load(minus_yp) * Kind::residual(V(T(loss_.threshold)), V::load(y) * V::load(f));
        if (!samples.decouples.empty()) delta = fma(V::load(decouple), V::load(f), delta);
        alignas(64) T found[L];
        delta.store(found);
        for (int i = 0; i < some; ++i)
            if (found[i] != 0) {
                deltas_.at(0)[rows_.size()] = found[i];
                rows_.push_back(s + i);
            }
    }
}

// delta_k = p (softmax_k - 1[own]) + S p f_k, with L exponentials at a time; keeps samples with some delta_k other than 0.
template <class T>
void Passes<T>::residuals_of_logits(const Samples<T>& samples, const Block& block) {
    const int outputs = network_.outputs();
    const std::int64_t row = row_numbers<T>(outputs);
    for (int s = 0; s < block.count; ++s) {
        const int sample = block.sample(s);
        const T* const f = outputs_.at(0) + s * row;
        T* const to = deltas_.at(0) + std::int64_t(rows_.size()) * outputs;
        const T top = *std::max_element(f, f + outputs);
        for (int k = 0; k < outputs; k += L) {
            alignas(64) T e[L] = {};
            for (int i = 0; i < std::min(L, outputs - k); ++i) e[i] = f[k + i] - top;
            exp(V::load(e)).store(e);
            std::copy_n(e, std::min(L, outputs - k), to + k);
        }
        bool pulls = false;
        const auto put = [&](int k, T delta) {
            to[k] = samples.decouples.empty() ? delta : delta + samples.decouples[sample] * f[k];
            pulls |= to[k] != 0;
        };
        softmax_residuals(outputs, int(samples.task.labels[sample]), samples.task.weights[sample], [to](int k) { return to[k]; }, put);
        if (pulls) rows_.push_back(s);
    }
}

template <class T>
void Passes<T>::backward(const Model<T>& model, const Samples<T>& samples, const Block& block, Slopes<T>& slopes, Begin begin) {
    find_residuals(samples, block);
    const int rows = int(rows_.size());
    if (rows == 0 && begin == Begin::stored) return;
    const int last = network_.hidden_layers();
    head(model, slopes, begin);
    for (int l = last - 1; l >= 0; --l) {
        const Layer &layer = network_.layers[l], &next = network_.layers[l + 1];
        if (l + 1 < last || network_.outputs() > 1) {
            Plan plan = plans_[l + 1].inputs;
            plan.rows = rows_of(plan, std::max(rows, 1));
            const bool from_head = l + 1 == last;
            const T* const deltas = from_head ? deltas_.at(0) : back_[l + 1].at(0);
            const std::int64_t deltas_row = from_head ? next.outputs : row_numbers<T>(next.outputs);
            if (rows > 0)
                multiply_rows<V>(plan, panel_bytes_,
                                 {.a = deltas,
                                  .b = model.below[l + 1].at(0),
                                  .c = back_[l].at(0),
                                  .below = deltas_row,
                                  .above = row_numbers<T>(next.inputs) / L,
                                  .inputs = next.outputs,
                                  .terms = next.outputs});
            take_through_activation(l);
        }
        gather_below(l, plans_[l].weights.columns);
        multiply_terms<V>(plans_[l].weights, lanes_.at(0), scalars_.at(0), slopes.weights[l].at(0), layer.inputs, rows, begin);
        add_biases(l, slopes, begin);
    }
}

// Adds the gradient of the head. With one output it also puts dL/da of the hidden layer below into `lanes_`, and into `back_` if a lower layer needs it.
template <class T>
void Passes<T>::head(const Model<T>& model, Slopes<T>& slopes, Begin begin) {
    const int rows = int(rows_.size()), outputs = network_.outputs(), l = network_.hidden_layers();
    const Layer& layer = network_.layers[l];
    const std::int64_t row = row_numbers<T>(layer.inputs) / L;
    const Pack<V>& h = values_[l - 1];
    if (layer.biases >= 0)
        for (int k = 0; k < outputs; ++k) {
            T& sum = slopes.biases[l].at(0)[k];
            if (begin == Begin::zero) sum = 0;
            for (int r = 0; r < rows; ++r) sum += deltas_.at(0)[r * outputs + k];
        }
    if (outputs > 1) {
        for_each_piece(plans_[l].weights.rows, [&](int group, int size) {
            for (int r = 0; r < rows; ++r)
                for (int i = 0; i < size; ++i) h[rows_[r] * row + group + i].store(lanes_.at(std::int64_t(group) * rows + r * size + i));
        });
        for_each_piece(plans_[l].weights.columns, [&](int column, int size) {
            for (int r = 0; r < rows; ++r) std::copy_n(deltas_.at(0) + r * outputs + column, size, scalars_.at(0) + std::int64_t(column) * rows + r * size);
        });
        multiply_terms<V>(plans_[l].weights, lanes_.at(0), scalars_.at(0), slopes.weights[l].at(0), outputs, rows, begin);
        return;
    }
    if (begin == Begin::zero) slopes.weights[l].clear();
    network_.activation.with([&](auto phi) {
        int r = 0;
        for (; r + 4 <= rows; r += 4) head_rows<4>(phi, model, slopes.weights[l], r);
        for (; r < rows; ++r) head_rows<1>(phi, model, slopes.weights[l], r);
    });
}

// The single output's part for R rows at a time, which share the loads of the weights and of their gradient.
template <class T>
template <int R, class Phi>
EIGEN_ALWAYS_INLINE void Passes<T>::head_rows(Phi phi, const Model<T>& model, Pack<V>& slopes, int first) {
    const int rows = int(rows_.size()), l = network_.hidden_layers() - 1;
    const std::int64_t row = row_numbers<T>(network_.layers[l].outputs);
    const Pack<V>& weights = model.below[l + 1];
    const V slope = T(network_.slope);
    const T* from[R];
    V delta[R];
    SHOAL_UNROLL for (int r = 0; r < R; ++r) {
        from[r] = values_[l].at(0) + rows_[first + r] * row;
        delta[r] = deltas_.at(0)[first + r];
    }
    for_each_piece(plans_[l].weights.rows, [&](int group, int size) {
        T* to = lanes_.at(std::int64_t(group) * rows + first * size);
        for (int g = group; g < group + size; ++g, to += L) {
            V sum = slopes[g];
            SHOAL_UNROLL for (int r = 0; r < R; ++r) {
                const V h = V::load(from[r] + g * L), back = phi.times_derivative(h, delta[r] * weights[g], slope);
                sum = fma(delta[r], h, sum);
                back.store(to + r * size * L);
                if (l > 0) back.store(back_[l].at(0) + (first + r) * row + g * L);
            }
            sum.store(slopes.at(g));
        }
    });
}

// dL/dh -> dL/da of the rows that pull, in `back_` and, panel by panel, in `lanes_`.
template <class T>
void Passes<T>::take_through_activation(int l) {
    const int rows = int(rows_.size());
    const std::int64_t row = row_numbers<T>(network_.layers[l].outputs) / L;
    const V slope = T(network_.slope);
    network_.activation.with([&](auto phi) {
        for_each_piece(plans_[l].weights.rows, [&](int group, int size) {
            T* to = lanes_.at(std::int64_t(group) * rows);
            for (int r = 0; r < rows; ++r)
                for (int i = 0; i < size; ++i, to += L) {
                    const std::int64_t at = r * row + group + i;
                    const V back = phi.times_derivative(values_[l][rows_[r] * row + group + i], back_[l][at], slope);
                    back.store(to);
                    if (l > 0) back.store(back_[l].at(at));
                }
        });
    });
}

// Copies the values below a layer, of the rows that pull, piece by piece of the columns.
template <class T>
void Passes<T>::gather_below(int l, const Cut& columns) {
    const int rows = int(rows_.size());
    for (int r = 0; r < rows; ++r) {
        const T* const from = below(l) + rows_[r] * below_row(l);
        for_each_piece(columns, [&](int column, int size) {
            T* const to = scalars_.at(0) + std::int64_t(column) * rows + r * size;
            for (int j = 0; j < size; ++j) to[j] = from[column + j];
        });
    }
}

// db_l += sum of dL/da, from the panels in `lanes_`.
template <class T>
void Passes<T>::add_biases(int l, Slopes<T>& slopes, Begin begin) {
    if (network_.layers[l].biases < 0) return;
    const int rows = int(rows_.size());
    for_each_piece(plans_[l].weights.rows, [&](int group, int size) {
        for (int i = 0; i < size; ++i) {
            V sum = begin == Begin::zero ? V(0) : slopes.biases[l][group + i];
            for (int r = 0; r < rows; ++r) sum = sum + lanes_[std::int64_t(group) * rows + r * size + i];
            sum.store(slopes.biases[l].at(group + i));
        }
    });
}

}  // namespace shoal::wide
