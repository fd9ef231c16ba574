// The passes of alone_passes.hpp, in the order in which a block walks through them.
#pragma once

#include "shoal/alone_passes.hpp"

namespace shoal::alone {

template <class T>
int Passes<T>::block_samples(const Network& network, int samples, const Tuning& tuning) {
    std::int64_t numbers = network.inputs();
    for (int l = 0; l < int(network.layers.size()); ++l) numbers += network.layers[l].outputs * (network.keeps_pre_activations(l) ? 2 : 1);
    const std::int64_t fit = tuning.block_bytes(false) / (2 * numbers * std::int64_t(sizeof(T)));
    const int most = int(std::clamp<std::int64_t>(fit, 64, 256)), blocks = (samples + most - 1) / most;
    return packs_of<V>((samples + blocks - 1) / std::max(blocks, 1)) * L;
}

template <class T>
Passes<T>::Passes(const Network& network, const Loss& loss, int samples, const Tuning& tuning)
    : network_(network),
      loss_(loss),
      homogeneous_(network.homogeneous_head()),
      samples_(block_samples(network, samples, tuning)),
      row_(row_length(packs_of<V>(samples_))),
      most_terms_(int(tuning.nearest_cache / 2 / (tiles::most_scalars * std::int64_t(sizeof(T))))) {  // half of the cache holds the scalars that stay there
    std::int64_t widest = 0, longest = row_of<V>(network.layers[0]) / L, turned = 0;
    for (int l = 0; l < network.hidden_layers(); ++l) {
        const Layer& layer = network.layers[l];
        values_.emplace_back((layer.outputs + 1) * row_);  // and a row of 1, the inputs of biases
        std::fill_n(values_[l].at(layer.outputs * row_), row_ * L, T(1));
        if (network.keeps_pre_activations(l)) kept_.emplace_back(layer.outputs * row_);
        if (l + 1 < network.hidden_layers() || !homogeneous_) {
            widest = std::max<std::int64_t>(widest, layer.outputs);
            const int units_above = network.layers[l + 1].outputs;
            longest = std::max<std::int64_t>(longest, packs_of<V>(std::max<std::int64_t>(layer.outputs + 1, units_above)));
            turned = std::max<std::int64_t>(turned, (layer.outputs + 1) * packs_of<V>(units_above));
        }
    }
    back_ = Pack<V>(widest * row_);
    rows_ = Pack<V>(longest * samples_);
    turned_ = Pack<V>(turned);
    outputs_ = Pack<V>(network.outputs() * row_);
    exponentials_ = Pack<V>(network.outputs() > 1 ? network.outputs() : 0);
    const std::int64_t targets = loss.kind.is<Squared>() ? network.outputs() * row_ : 0;
    inputs_ = {
        Pack<V>(row_of<V>(network.layers[0]) / L * samples_), Pack<V>(network.inputs() * row_), Pack<V>(row_), Pack<V>(row_), Pack<V>(row_), Pack<V>(targets)};
    pulling_.reserve(samples_);
    plans_.resize(samples_ + 1);
}

template <class T>
std::int64_t Passes<T>::bytes(const Network& network, int samples, const Tuning& tuning) {
    const std::int64_t block = block_samples(network, samples, tuning), row = row_length(packs_of<V>(block)) * L;
    std::int64_t numbers = network.inputs() * row + (row_of<V>(network.layers[0])) * block + (2 * network.outputs() + 1) * row, widest = 0, turned = 0;
    for (int l = 0; l < network.hidden_layers(); ++l) {
        const std::int64_t units = network.layers[l].outputs;
        numbers += (units * (network.keeps_pre_activations(l) ? 2 : 1) + 1) * row;
        widest = std::max({widest, units, std::int64_t(network.layers[l + 1].outputs)});
        turned = std::max(turned, (units + 1) * packs_of<V>(network.layers[l + 1].outputs) * L);
    }
    const std::int64_t plans = block * std::int64_t(sizeof(std::vector<Plans>) + network.layers.size() * sizeof(Plans));
    return (numbers + 2 * widest * row + turned) * std::int64_t(sizeof(T)) + plans;
}

template <class T>
void Passes<T>::find_inputs(const Samples<T>& samples, const Block& block) {
    if (!block.members && seen_of_ == &samples && seen_.first == block.first && seen_.count == block.count) return;
    seen_ = block, seen_of_ = block.members ? nullptr : &samples;
    const int dimension = network_.inputs();
    const std::int64_t row = row_of<V>(network_.layers[0]);
    for (int n = 0; n < block.count; ++n) {
        T* const to = inputs_.rows.at(0) + n * row;
        std::copy_n(samples.task.inputs.data() + std::int64_t(block.sample(n)) * dimension, dimension, to);
        if (network_.layers[0].biases >= 0) to[dimension] = 1;
    }
    transpose<V>(inputs_.rows.at(0), row, dimension, block.count, inputs_.columns.at(0), row_ * L);
    const auto take = [&](const std::vector<T>& list, Pack<V>& to) {
        to.clear();
        for (int n = 0; n < block.count && !list.empty(); ++n) to.at(0)[n] = list[block.sample(n)];
    };
    take(samples.signs, inputs_.signs);
    take(samples.pulls, inputs_.pulls);
    take(samples.decouples, inputs_.decouples);
    if (samples.task.targets.empty()) return;
    inputs_.targets.clear();
    for (int k = 0; k < network_.outputs(); ++k)
        for (int n = 0; n < block.count; ++n) inputs_.targets.at(k * row_)[n] = samples.task.target(block.sample(n), k);
}

template <class T>
const std::vector<typename Passes<T>::Plans>& Passes<T>::plans_of(int count) {
    std::vector<Plans>& plans = plans_[count];
    const int packs = packs_of<V>(count);
    for (std::size_t l = plans.size(); l < network_.layers.size(); ++l) {
        const Layer& layer = network_.layers[l];
        plans.push_back({plan_of<V>(packs, layer.outputs, layer.inputs), plan_of<V>(int(row_of<V>(layer)) / L, layer.outputs, count),
                         plan_of<V>(packs, layer.inputs, layer.outputs)});
        if (l == 0) continue;
        // Transposing L x L numbers takes some 4 L cycles.
        const int below = int(row_of<V>(layer)) / L, units = packs_of<V>(layer.outputs);
        const Plan turned = plan_of<V>(units, layer.inputs + (layer.biases >= 0), count);
        const auto cycles_of = [](double transposes) { return 4.0 * L * transposes; };
        if (turned.cycles + cycles_of(packs * units + 2 * below * units) < plans[l].weights.cycles + cycles_of(packs * below))
            plans[l].weights = turned, plans[l].turned = true;
    }
    return plans;
}

template <class T>
void Passes<T>::forward(const Model<T>& model, Samples<T>& samples, const Block& block) {
    find_inputs(samples, block);
    const std::vector<Plans>& plans = plans_of(block.count);
    const Activation phi = network_.activation;
    for (int l = 0; l < int(network_.layers.size()); ++l) {
        const Layer& layer = network_.layers[l];
        const bool hidden = l < network_.hidden_layers();
        Pack<V>& to = hidden ? values_[l] : outputs_;
        const std::int64_t row = row_of<V>(layer);
        multiply<V>(plans[l].forward, Stays::scalars, most_terms_,
                    {.packs = (l == 0 ? inputs_.columns : values_[l - 1]).at(0),
                     .scalars = model.rows(l),
                     .sums = to.at(0),
                     .packs_i = L,
                     .packs_r = row_ * L,
                     .scalars_j = row,
                     .scalars_r = 1,
                     .sums_i = L,
                     .sums_j = row_ * L,
                     .terms = layer.inputs,
                     .begin = layer.biases < 0 ? Begin::zero : Begin::column,
                     .column = model.rows(l) + layer.inputs,
                     .column_j = row,
                     .finish = hidden && phi.is<Relu>() ? Finish::activate : Finish::store});
        if (hidden && !phi.is<Relu>() && !phi.is<Linear>())
            phi.with([&, values = to.at(0), kept = kept_.empty() ? nullptr : kept_[l].at(0), slope = V(T(network_.slope))](auto kind) {
                for_each_value(layer.outputs, block.count, [=](std::int64_t at, std::int64_t) {
                    const V a = V::load(values + at);
                    if constexpr (decltype(kind)::keeps_pre_activation) a.store(kept + at);
                    kind.value(a, slope).store(values + at);
                });
            });
    }
    put_outputs(samples, block);
}

template <class T>
void Passes<T>::put_outputs(Samples<T>& samples, const Block& block) {
    const int outputs = network_.outputs();
    if (outputs == 1 && !network_.centred && !block.members) return void(std::copy_n(outputs_.at(0), block.count, samples.outputs.data() + block.first));
    for (int k = 0; k < outputs; ++k) {
        T* const of_output = outputs_.at(k * row_);
        for (int n = 0; n < block.count; ++n) {
            const std::int64_t at = std::int64_t(block.sample(n)) * outputs + k;
            if (network_.centred) of_output[n] -= samples.at_start[at];
            samples.outputs[at] = of_output[n];
        }
    }
}

template <class T>
bool Passes<T>::lost(const Samples<T>& samples, const Block& block) {
    if (!samples.task.targets.empty()) return lost_targets(block);
    const int outputs = network_.outputs();
    V seen = 0;
    if (outputs == 1)
        loss_.kind.with([&](auto kind) {
            const V threshold = T(loss_.threshold);
            for (int n = 0; n < packs_of<V>(block.count); ++n) {
                const V y = inputs_.signs[n], m = where_less(V(0), y * y, y * outputs_[n], V(0));  // behind the last sample 0
                seen = gather_not_finite(seen, kind.witness(threshold, kind.residual(threshold, m), m));
            }
        });
    for (int n = 0; outputs > 1 && n < block.count; ++n) {
        const int sample = block.sample(n);
        const T* const o = samples.outputs.data() + std::int64_t(sample) * outputs;
        seen = gather_not_finite(seen, V(witness_of_logits(outputs, int(samples.task.labels[sample]), [o](int k) { return o[k]; })));
    }
    return gathered(seen);
}

template <class T>
bool Passes<T>::lost_targets(const Block& block) const {
    V seen = 0;
    for (int n = 0; n < packs_of<V>(block.count); ++n) {
        const V there = inputs_.signs[n];  // behind the last sample 0
        const auto output = [&](int k) { return where_less(V(0), there, outputs_[k * row_ + n], V(0)); };
        seen = gather_not_finite(seen, loss_of_targets<V>(network_.outputs(), [&](int k) { return inputs_.targets[k * row_ + n]; }, output));
    }
    return gathered(seen);
}

template <class T>
bool Passes<T>::some_active(int layer, const Block& block) const {
    for (int o = 0; o < network_.layers[layer].outputs; ++o) {
        const T* const numbers = kept(layer).at(o * row_);
        if (std::any_of(numbers, numbers + block.count, [&](T number) { return number > active_above(network_.activation); })) return true;
    }
    return false;
}

template <class T>
void Passes<T>::see_units(int first, int count, const Task<T>& task, Activity<T>& activity) const {
    const T above = T(active_above(network_.activation));
    std::int64_t before = 0;
    for (int l = 0; l < network_.hidden_layers(); before += network_.layers[l++].outputs)
        for (int o = 0; o < network_.layers[l].outputs; ++o) {
            const T* const numbers = kept(l).at(o * row_);
            double active = 0;
            for (int s = 0; s < count; ++s) active += numbers[s] > above ? task.repeats[first + s] : 0.0;
            activity.counts[l][o] += active;
            for (int s = 0; activity.pattern && s < count; ++s) activity.pattern[(before + o) * task.samples + task.place[first + s]] = numbers[s] > above;
        }
}

// Moves the samples that pull together, if they are fewer than half of the block, and returns how many there are then.
template <class T>
int Passes<T>::gather_pulling(int count) {
    const int outputs = network_.outputs();
    pulling_.clear();
    for (int s = 0; s < count; ++s) {
        bool pulls = false;
        for (int k = 0; k < outputs; ++k) pulls |= outputs_.at(k * row_)[s] != 0;
        if (pulls) pulling_.push_back(s);
    }
    const int pulling = int(pulling_.size());
    if (2 * pulling > count) return count;
    const auto gather = [&](Pack<V>& matrix, int rows) {
        for (int o = 0; o < rows; ++o) {
            T* const row = matrix.at(o * row_);
            for (int n = 0; n < pulling; ++n) row[n] = row[pulling_[n]];
        }
    };
    for (int l = 0; l < network_.hidden_layers(); ++l) {
        gather(values_[l], network_.layers[l].outputs);
        if (!kept_.empty()) gather(kept_[l], network_.layers[l].outputs);
    }
    gather(outputs_, outputs);
    return pulling;
}

// The values below a layer of the samples that pull, row by row, with 1 for the bias.
template <class T>
const T* Passes<T>::rows_below(int l, int count) {
    const Layer& layer = network_.layers[l];
    const std::int64_t row = row_of<V>(layer);
    if (l == 0) {
        if (count == seen_.count) return inputs_.rows.at(0);
        for (int n = 0; n < count; ++n) std::copy_n(inputs_.rows.at(0) + pulling_[n] * row, row, rows_.at(0) + n * row);
        return rows_.at(0);
    }
    transpose<V>(values_[l - 1].at(0), row_ * L, count, layer.inputs, rows_.at(0), row);
    if (row > std::int64_t(packs_of<V>(layer.inputs)) * L)  // the bias has a pack of its own
        for (int s = 0; s < count; ++s) V(0).store(rows_.at(0) + (s + 1) * row - L);
    if (layer.biases >= 0)
        for (int s = 0; s < count; ++s) rows_.at(0)[s * row + layer.inputs] = 1;
    return rows_.at(0);
}

// Adds the gradient of the weights of a layer whose units are pulled by `pulls`, or begins with it. Turned, its packs hold units, else inputs.
template <class T>
void Passes<T>::weight_gradient(int l, const T* pulls, int count, const Plans& plans, Pack<V>& slopes, Begin begin) {
    const auto add_up = [&](const T* packs, const T* scalars, T* sums, std::int64_t row) {
        multiply<V>(plans.weights, Stays::packs, count,
                    {.packs = packs,
                     .scalars = scalars,
                     .sums = sums,
                     .packs_i = L,
                     .packs_r = row,
                     .scalars_j = row_ * L,
                     .scalars_r = 1,
                     .sums_i = L,
                     .sums_j = row,
                     .terms = count,
                     .begin = begin});
    };
    const Layer& layer = network_.layers[l];
    const std::int64_t row = row_of<V>(layer), units = std::int64_t(packs_of<V>(layer.outputs)) * L;
    if (!plans.turned) return add_up(rows_below(l, count), pulls, slopes.at(0), row);
    const int numbers = layer.inputs + (layer.biases >= 0);
    transpose<V>(pulls, row_ * L, count, layer.outputs, rows_.at(0), units);
    if (begin == Begin::stored) transpose<V>(slopes.at(0), row, numbers, layer.outputs, turned_.at(0), units);
    add_up(rows_.at(0), values_[l - 1].at(0), turned_.at(0), units);
    transpose<V>(turned_.at(0), units, layer.outputs, numbers, slopes.at(0), row);
}

template <class T>
void Passes<T>::backward(const Model<T>& model, const Samples<T>& samples, const Block& block, Rows<T>& slopes, Begin begin) {
    const bool decoupled = !samples.decouples.empty();
    int count = 0;
    if (block.count > 0) {
        if (!samples.task.targets.empty())
            decoupled ? residuals_of_targets<true>(block) : residuals_of_targets<false>(block);
        else if (network_.outputs() == 1)
            decoupled ? residuals<true>(block) : residuals<false>(block);
        else
            decoupled ? residuals_of_logits<true>(samples, block) : residuals_of_logits<false>(samples, block);
        count = loss_.kink() == Kink::none ? block.count : gather_pulling(block.count);
    }
    if (count == 0) {
        if (begin == Begin::zero)
            for (Pack<V>& layer : slopes.layers) layer.clear();
        return;
    }
    const std::vector<Plans>& plans = plans_of(count);
    const int last = network_.hidden_layers() - 1;
    const V slope = T(network_.slope);
    int l = last + 1;
    if (homogeneous_) {
        const Layer& head = network_.layers[l];
        if (head.biases >= 0) {
            T& sum = slopes.layers[l].at(0)[head.inputs];
            if (begin == Begin::zero) sum = 0;
            for (int s = 0; s < count; ++s) sum += outputs_.at(0)[s];
        }
        with_piecewise_linear(network_.activation, [&, values = values_[last].at(0), deltas = outputs_.at(0)](auto phi) {
            for_each_value(head.inputs, count, [=](std::int64_t at, std::int64_t of_sample) {
                phi.times_derivative(V::load(values + at), V::load(deltas + of_sample), slope).store(values + at);
            });
        });
        --l;
    }
    for (; l >= 0; --l) {
        const Layer& layer = network_.layers[l];
        const Pack<V>& pulls = l > last ? outputs_ : values_[l];
        weight_gradient(l, pulls.at(0), count, plans[l], slopes.layers[l], begin);
        if (l == 0) break;
        const bool gated = network_.activation.is<Relu>() && layer.outputs <= most_terms_;
        T *const values = values_[l - 1].at(0), *const back = gated ? values : back_.at(0);
        multiply<V>(plans[l].inputs, Stays::scalars, most_terms_,
                    {.packs = pulls.at(0),
                     .scalars = model.rows_back(l),
                     .sums = back,
                     .packs_i = L,
                     .packs_r = row_ * L,
                     .scalars_j = 1,
                     .scalars_r = row_of<V>(layer),
                     .sums_i = L,
                     .sums_j = row_ * L,
                     .terms = layer.outputs,
                     .finish = gated ? Finish::times_derivative : Finish::store});
        if (gated) continue;
        network_.activation.with([&, from = kept(l - 1).at(0)](auto phi) {
            for_each_value(layer.inputs, count,
                           [=](std::int64_t at, std::int64_t) { phi.times_derivative(V::load(from + at), V::load(back + at), slope).store(values + at); });
        });
    }
}

}  // namespace shoal::alone
