// The velocity of a network that slides: one network on one sample, the basis of its normals, its gates.
#pragma once

#include "shoal/sliding.hpp"

namespace shoal {

template <AnyLanes V>
Sliding<V>::Sliding(const Run<T>& run, const Gradient<V>& gradient, double rtol, double atol)
    : run_(run), gradient_(gradient), rtol_(rtol), atol_(atol), units_(run.network.units()), capacity_(0) {
    const Network& network = run.network;
    int sum = 0;
    for (int l = 0; l <= network.hidden_layers(); ++l) {
        above_.push_back(sum);
        sum += network.layers[l].outputs;
        if (has_jumps(l)) capacity_ = network.parameters;
        values_.emplace_back(network.layers[l].outputs);
        rates_.emplace_back(network.layers[l].outputs);
        pulls_.emplace_back(network.layers[l].outputs);
        gates_.emplace_back(network.layers[l].outputs, std::numeric_limits<T>::quiet_NaN());
    }
    // No more independent normals than parameters; and 32 MB of them at most.
    constexpr std::int64_t most = 1 << 22;
    capacity_ = int(std::min<std::int64_t>({capacity_, 512, std::max<std::int64_t>(1, most / network.parameters)}));
    for (auto& surfaces : surfaces_) surfaces.reserve(capacity_);
    crossed_.reserve(capacity_);
    const auto root = [](const Layer& layer) { return std::sqrt(layer.rate); };
    scales_ = network.for_each_parameter<T>([](const Layer& layer) { return layer.scale; }, [](const Layer&) { return 1.0; });
    roots_ = network.for_each_parameter<T>(root, root);
    theta_.resize(network.parameters);
    other_.resize(network.parameters);
    was_.resize(units_ + 1);
    normals_.resize(std::int64_t(capacity_ + 1) * network.parameters);
    overlaps_.resize(std::int64_t(capacity_ + 1) * capacity_);
    rows_.resize(capacity_ + 1);
    along_.resize(capacity_);
}

template <AnyLanes V>
bool Sliding<V>::has_jumps(int layer) const {
    if (is_hinge(layer)) return run_.loss.kind == LossKind::hinge;
    return run_.network.activation == Activation::relu || run_.network.activation == Activation::leaky_relu;
}

template <AnyLanes V>
void Sliding<V>::see(int first, int count, const Gradient<V>& pass) {
    alignas(64) T values[L];
    for (int lane = 0; lane < L; ++lane)
        for (Surface& surface : surfaces_[lane]) {
            if (surface.sample < first || surface.sample >= first + count) continue;
            const int row = surface.sample - first;
            (is_hinge(surface.layer) ? pass.output(row, 0) : pass.active(surface.layer, row, surface.unit)).store(values);
            const T y = T(run_.task.labels[surface.sample]);
            surface.open = is_hinge(surface.layer) ? y * values[lane] < run_.loss.threshold : values[lane] > 0;
        }
}

template <AnyLanes V>
V Sliding<V>::without(V pattern) const {
    alignas(64) T sums[L];
    pattern.store(sums);
    for (int lane = 0; lane < L; ++lane)
        for (const Surface& surface : surfaces_[lane])
            if (surface.open) sums[lane] -= kink_tag(number(surface.sample, surface.layer, surface.unit));
    return V::load(sums);
}

// The effective parameters of a lane, or their velocity.
template <AnyLanes V>
void Sliding<V>::load(const Pack<V>& from, int lane) {
    lane_ = lane;
    for (int n = 0; n < run_.network.parameters; ++n) theta_[n] = scales_[n] * from.at(n)[lane];
}

// Gives the sliding units of the sample of surfaces[first] that value (NaN: none slides).
template <AnyLanes V>
void Sliding<V>::set_gates(const std::vector<Surface>& surfaces, std::size_t first, double value) {
    for (std::size_t i = first; i < surfaces.size() && surfaces[i].sample == surfaces[first].sample; ++i) gates_[surfaces[i].layer][surfaces[i].unit] = value;
}

// h of the first `layers` layers.
template <AnyLanes V>
void Sliding<V>::forward(int sample, int layers) {
    for (int l = 0; l < layers; ++l) forward_layer(sample, l);
}

template <AnyLanes V>
void Sliding<V>::forward_layer(int sample, int l) {
    for (int o = 0; o < run_.network.layers[l].outputs; ++o) {
        const double a = height(sample, l, o);
        alignas(64) T h[One::count];
        if (is_hinge(l))
            values_[l][o] = a;
        else if (!std::isnan(gates_[l][o]))
            values_[l][o] = 0;
        else
            activate(run_.network.activation, One(a), One(run_.network.slope)).store(h), values_[l][o] = h[0];
    }
}

// a, from the values below.
template <AnyLanes V>
double Sliding<V>::height(int sample, int l, int o) const {
    const Layer& layer = run_.network.layers[l];
    const T* const below = l == 0 ? run_.task.inputs.data() + std::int64_t(sample) * layer.inputs : values_[l - 1].data();
    const T* const weights = theta_.data() + layer.weights + o * layer.inputs;
    double sum = layer.biases < 0 ? 0.0 : theta_[layer.biases + o];
    for (int i = 0; i < layer.inputs; ++i) sum += weights[i] * below[i];
    return is_hinge(l) ? sum - gradient_.at_start(sample, o, lane_) : sum;
}

// How large the terms of a are.
template <AnyLanes V>
double Sliding<V>::size(int sample, int l, int o) const {
    const Layer& layer = run_.network.layers[l];
    const T* const below = l == 0 ? run_.task.inputs.data() + std::int64_t(sample) * layer.inputs : values_[l - 1].data();
    const T* const weights = theta_.data() + layer.weights + o * layer.inputs;
    double sum = (layer.biases < 0 ? 0.0 : std::abs(theta_[layer.biases + o])) +
                 (is_hinge(l) ? std::abs(run_.loss.threshold) + std::abs(gradient_.at_start(sample, o, lane_)) : 0.0);
    for (int i = 0; i < layer.inputs; ++i) sum += std::abs(weights[i] * below[i]);
    return sum;
}

// phi'(a), or the gate of a unit that slides.
template <AnyLanes V>
double Sliding<V>::derivative(int layer, int unit) const {
    if (!std::isnan(gates_[layer][unit])) return gates_[layer][unit];
    alignas(64) T slope[One::count];
    times_derivative(run_.network.activation, One(values_[layer][unit]), One(T(1)), One(run_.network.slope)).store(slope);
    return slope[0];
}

// -dL/df of the sample; the hinge's residual is given where it slides.
template <AnyLanes V>
void Sliding<V>::pull_output(int sample, const double* given) {
    const int top = run_.network.hidden_layers(), outputs = run_.network.outputs();
    const std::vector<T>& f = values_[top];
    const double p = run_.task.weights[sample], own = double(run_.task.labels[sample]);
    if (outputs == 1) {
        alignas(64) T r[One::count];
        residual(run_.loss.kind, One(run_.loss.threshold), One(own * f[0])).store(r);
        pulls_[top][0] = p * own * (given ? *given : r[0]);
    } else {
        alignas(64) T e[One::count];
        const double largest = *std::max_element(f.begin(), f.end());
        double sum = 0.0;
        for (int k = 0; k < outputs; ++k) {
            exp(One(f[k] - largest)).store(e);
            sum += pulls_[top][k] = e[0];
        }
        for (int k = 0; k < outputs; ++k) pulls_[top][k] = p * ((k == run_.task.labels[sample]) - pulls_[top][k] / sum);
    }
    for (int k = 0; k < outputs; ++k) pulls_[top][k] -= run_.penalty.spectral_decoupling * p * f[k];
}

// -dL/dh of the layer from -dL/da of the one above.
template <AnyLanes V>
void Sliding<V>::pull_below(int l) {
    const Layer& next = run_.network.layers[l + 1];
    std::fill(pulls_[l].begin(), pulls_[l].end(), T(0));
    for (int k = 0; k < next.outputs; ++k)
        for (int o = 0; o < next.inputs; ++o) pulls_[l][o] += theta_[next.weights + k * next.inputs + o] * pulls_[l + 1][k];
}

// grad phi with respect to u as row i, from the values below with the sliding gates closed.
template <AnyLanes V>
void Sliding<V>::write_normal(int i, int sample, int layer, int unit) {
    const Network& network = run_.network;
    const Layer& own = network.layers[layer];
    T* const normal = row(i);
    std::fill(normal, normal + network.parameters, T(0));
    const int first = own.weights + unit * own.inputs, last = own.biases < 0 ? first + own.inputs : own.biases + unit + 1;
    rows_[i] = layer == 0 ? Row{first, last} : Row{0, last};
    std::fill(pulls_[layer].begin(), pulls_[layer].end(), T(0));
    pulls_[layer][unit] = is_hinge(layer) ? T(run_.task.labels[sample]) : T(1);
    for (int l = layer; l >= 0; --l) {
        const Layer& at = network.layers[l];
        const T* const below = l == 0 ? run_.task.inputs.data() + std::int64_t(sample) * at.inputs : values_[l - 1].data();
        for (int o = 0; o < at.outputs; ++o) {
            if (l < layer) pulls_[l][o] *= derivative(l, o);
            const T pull = pulls_[l][o];
            if (pull == 0) continue;
            const T root = roots_[at.weights], of_weights = root * T(at.scale) * pull;
            for (int k = 0; k < at.inputs; ++k) normal[at.weights + o * at.inputs + k] = of_weights * below[k];
            if (at.biases >= 0) normal[at.biases + o] = root * pull;
        }
        if (l > 0) pull_below(l - 1);
    }
}

// Takes row i's parts along the rows before it away and makes its length 1, or 0 where nothing is left: what is left, relative to what there was.
template <AnyLanes V>
double Sliding<V>::orthogonalise(int i) {
    T* const normal = row(i);
    const auto length = [&] {
        double sum = 0.0;
        for (int n = rows_[i].begin; n < rows_[i].end; ++n) sum += normal[n] * normal[n];
        return std::sqrt(sum);
    };
    const double whole = length();
    std::fill_n(&overlap(i, 0), std::min(i, capacity_), T(0));
    for (int round = 0; round < 2; ++round)  // the second takes what rounding left of large parts
        for (int j = 0; j < i; ++j) {
            const int begin = std::max(rows_[i].begin, rows_[j].begin), end = std::min(rows_[i].end, rows_[j].end);
            if (begin >= end) continue;
            const T* const q = row(j);
            double t = 0.0;
            for (int n = begin; n < end; ++n) t += q[n] * normal[n];
            if (t == 0) continue;
            rows_[i] = {std::min(rows_[i].begin, rows_[j].begin), std::max(rows_[i].end, rows_[j].end)};
            for (int n = rows_[j].begin; n < rows_[j].end; ++n) normal[n] -= t * q[n];
            overlap(i, j) += t;
        }
    const double left = length();
    const bool independent = left > 1e-8 * whole;
    if (i < capacity_) overlap(i, i) = independent ? left : 0.0;
    for (int n = rows_[i].begin; n < rows_[i].end; ++n) normal[n] = independent ? normal[n] / left : T(0);
    return independent ? left / whole : 0.0;
}

// The orthonormal rows of the lane's surfaces at theta_.
template <AnyLanes V>
void Sliding<V>::find_basis(int lane) {
    std::vector<Surface>& surfaces = surfaces_[lane];
    for (std::size_t i = 0, begin = 0; i < surfaces.size(); ++i) {
        Surface& surface = surfaces[i];
        if (i == 0 || surfaces[i - 1].sample != surface.sample) {
            begin = i;
            set_gates(surfaces, begin, 0.0);
            forward(surface.sample, surface.layer);
        }
        write_normal(int(i), surface.sample, surface.layer, surface.unit);
        surface.reach = 0.0;
        for (int n = rows_[i].begin; n < rows_[i].end; ++n)
            surface.reach = std::max(surface.reach, roots_[n] * std::abs(row(int(i))[n]) / (atol_ + rtol_ * std::abs(theta_[n] / scales_[n])));
        orthogonalise(int(i));
        if (i + 1 == surfaces.size() || surfaces[i + 1].sample != surface.sample) set_gates(surfaces, begin, std::numeric_limits<double>::quiet_NaN());
    }
}

template <AnyLanes V>
void Sliding<V>::follow(int lane, const Pack<V>& at, Pack<V>& slope, bool gates) {
    load(at, lane);
    find_basis(lane);
    const int count = int(surfaces_[lane].size());
    for (int j = 0; j < count; ++j) {
        const T* const q = row(j);
        double t = 0.0;
        for (int n = rows_[j].begin; n < rows_[j].end; ++n) t += q[n] * (slope.at(n)[lane] / roots_[n]);
        for (int n = rows_[j].begin; n < rows_[j].end; ++n) slope.at(n)[lane] -= t * (q[n] * roots_[n]);
        along_[j] = t;
    }
    if (!gates) return;
    for (int i = count - 1; i >= 0; --i) {  // sum_i w_i n_i = sum_j t_j q_j
        for (int k = i + 1; k < count; ++k) along_[i] -= overlap(k, i) * along_[k];
        along_[i] = overlap(i, i) == 0 ? 0.0 : along_[i] / overlap(i, i);
    }
    std::vector<Surface>& surfaces = surfaces_[lane];
    for (std::size_t begin = 0, end; begin < surfaces.size(); begin = end) {
        for (end = begin; end < surfaces.size() && surfaces[end].sample == surfaces[begin].sample;) ++end;
        find_gates_of_sample(surfaces, begin, end);
    }
}

// From the output down: with the gates D the parts D_i c_i of the slope along n_i, then, less w_i, the gates G.
template <AnyLanes V>
void Sliding<V>::find_gates_of_sample(std::vector<Surface>& surfaces, std::size_t begin, std::size_t end) {
    const int top = run_.network.hidden_layers(), sample = surfaces[begin].sample;
    const double p = run_.task.weights[sample];
    set_gates(surfaces, begin, 0.0);
    forward(sample, top + 1);
    for (int pass = 0; pass < 2; ++pass) {
        std::size_t i = begin;
        const auto gate_of = [&](Surface& surface, double pull) {
            const double low = closed(surface.layer), chosen = surface.open ? 1.0 : low;
            if (pass == 0) {
                along_[i] = chosen * pull - along_[i];
                return chosen;
            }
            surface.pull = pull;
            surface.last = along_[i] / pull;
            return std::isnan(surface.last) ? chosen : std::clamp(surface.last, low, 1.0);
        };
        double residual = 0.0;
        const bool hinge = is_hinge(surfaces[begin].layer);
        if (hinge) residual = gate_of(surfaces[i], p), ++i;
        pull_output(sample, hinge ? &residual : nullptr);
        for (int l = top - 1; l >= 0 && i < end; --l) {
            pull_below(l);
            for (; i < end && surfaces[i].layer == l; ++i) gates_[l][surfaces[i].unit] = gate_of(surfaces[i], pulls_[l][surfaces[i].unit]);
            for (std::size_t o = 0; o < pulls_[l].size(); ++o) pulls_[l][o] *= derivative(l, int(o));
        }
    }
    set_gates(surfaces, begin, std::numeric_limits<double>::quiet_NaN());
}
}  // namespace shoal
