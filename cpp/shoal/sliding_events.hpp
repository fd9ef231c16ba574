// How a network comes onto surfaces, stays on them and leaves them.
#pragma once

#include "shoal/sliding.hpp"

namespace shoal {

template <AnyLanes V>
double Sliding<V>::part(int lane, double h) const {
    double part = 1.0;
    for (const Surface& surface : surfaces_[lane]) {
        const double low = closed(surface.layer), bound = surface.last > 1.0 ? 1.0 : low;
        if (!(surface.last > 1.0 || surface.last < low)) continue;
        const double reached = std::clamp((bound - surface.first) / (surface.last - surface.first), 0.0, 1.0), beyond = 1.0 - reached;
        // Beyond its value the gate grows about linearly, and pulls along the normal all the while.
        const double error = 0.5 * beyond * h * std::abs((surface.last - bound) * surface.pull) * surface.reach;
        if (error > 1.0) part = std::min(part, reached + 0.5 * beyond / std::sqrt(error));
    }
    return part;
}

template <AnyLanes V>
void Sliding<V>::advance(int lane) {
    for (Surface& surface : surfaces_[lane]) surface.first = surface.last;
}

template <AnyLanes V>
bool Sliding<V>::attracts(int lane) const {
    return std::none_of(surfaces_[lane].begin(), surfaces_[lane].end(), [&](const Surface& surface) { return !is_hinge(surface.layer) && surface.pull > 0; });
}

template <AnyLanes V>
bool Sliding<V>::enter(int lane, const Pack<V>& before, const Pack<V>& after, const Pack<V>& slope, bool& room) {
    const Network& network = run_.network;
    std::vector<Surface>& surfaces = surfaces_[lane];
    load(before, lane);
    other_ = theta_;
    load(after, lane);
    find_basis(lane);
    const int count = int(surfaces.size());
    crossed_.clear();
    std::size_t own = 0;
    for (int sample = 0; sample < run_.task.samples; ++sample) {
        if (run_.task.weights[sample] == 0) continue;
        while (own < surfaces.size() && surfaces[own].sample < sample) ++own;
        const bool some = own < surfaces.size() && surfaces[own].sample == sample;
        if (some) set_gates(surfaces, own, 0.0);
        const auto look = [&](auto&& take) {
            forward(sample, network.hidden_layers() + 1);
            for (int l = 0; l <= network.hidden_layers(); ++l)
                for (int o = 0; has_jumps(l) && o < network.layers[l].outputs; ++o)
                    if (is_hinge(l) || std::isnan(gates_[l][o]))
                        take(l, o, is_hinge(l) ? double(run_.task.labels[sample]) * values_[l][o] < run_.loss.threshold : values_[l][o] > 0);
        };
        std::swap(theta_, other_);
        look([&](int l, int o, bool active) { was_[above_[l] + o] = active; });
        std::swap(theta_, other_);
        look([&](int l, int o, bool active) {
            if (active == bool(was_[above_[l] + o])) return;
            if (is_hinge(l) && some && is_hinge(surfaces[own].layer)) return;
            write_normal(count, sample, l, o);
            // Upwards: the pre-activation grew, or the margin did.
            const double upwards = active != is_hinge(l) ? 1.0 : -1.0;
            double speed = 0.0;
            for (int n = rows_[count].begin; n < rows_[count].end; ++n) speed += row(count)[n] * (slope.at(n)[lane] / roots_[n]);
            if (!(upwards * speed < 0) || orthogonalise(count) == 0) return;
            if (count + int(crossed_.size()) >= capacity_) {
                room = false;
                return;
            }
            crossed_.push_back({sample, l, o, active, 0.5, 0.5, 0.0, 0.0});
        });
        if (some) set_gates(surfaces, own, std::numeric_limits<double>::quiet_NaN());
    }
    for (const Surface& surface : crossed_) surfaces.insert(std::upper_bound(surfaces.begin(), surfaces.end(), surface), surface);
    return !crossed_.empty();
}

template <AnyLanes V>
bool Sliding<V>::release(int lane, Pack<V>& theta) {
    std::vector<Surface>& surfaces = surfaces_[lane];
    std::size_t worst = surfaces.size();
    double most = 1e-13;
    for (std::size_t i = 0; i < surfaces.size(); ++i) {
        const double beyond = std::max(surfaces[i].last - 1.0, closed(surfaces[i].layer) - surfaces[i].last);
        if (beyond > most) most = beyond, worst = i;
    }
    if (worst == surfaces.size()) return false;
    const Surface left = surfaces[worst];
    load(theta, lane);
    surfaces.erase(surfaces.begin() + std::ptrdiff_t(worst));
    find_basis(lane);
    const int count = int(surfaces.size());
    forward(left.sample, left.layer);
    write_normal(count, left.sample, left.layer, left.unit);
    double length = 0.0;
    for (int n = rows_[count].begin; n < rows_[count].end; ++n) length += row(count)[n] * row(count)[n];
    const double own = orthogonalise(count) * std::sqrt(length);
    // Far enough for the side to stand beyond rounding.
    const double side = (left.last > 1.0) != is_hinge(left.layer) ? 1.0 : -1.0;
    const double target = side * 64 * std::numeric_limits<T>::epsilon() * size(left.sample, left.layer, left.unit);
    double now = height(left.sample, left.layer, left.unit);
    if (is_hinge(left.layer)) now = double(run_.task.labels[left.sample]) * now - run_.loss.threshold;
    if (own == 0) return true;
    for (int n = rows_[count].begin; n < rows_[count].end; ++n) theta.at(n)[lane] += roots_[n] * row(count)[n] * (target - now) / own;
    return true;
}

template <AnyLanes V>
double Sliding<V>::time_to_kink(int lane, const Pack<V>& theta, const Pack<V>& slope) {
    const Network& network = run_.network;
    std::vector<Surface>& surfaces = surfaces_[lane];
    load(slope, lane);
    other_ = theta_;
    load(theta, lane);
    double time = std::numeric_limits<double>::infinity();
    std::size_t own = 0;
    for (int sample = 0; sample < run_.task.samples; ++sample) {
        if (run_.task.weights[sample] == 0) continue;
        while (own < surfaces.size() && surfaces[own].sample < sample) ++own;
        const bool some = own < surfaces.size() && surfaces[own].sample == sample;
        if (some) set_gates(surfaces, own, 0.0);
        const double y = double(run_.task.labels[sample]);
        for (int l = 0; l <= network.hidden_layers(); ++l) {
            const Layer& layer = network.layers[l];
            forward_layer(sample, l);
            const T* const below = l == 0 ? run_.task.inputs.data() + std::int64_t(sample) * layer.inputs : values_[l - 1].data();
            for (int o = 0; o < layer.outputs; ++o) {
                const int first = layer.weights + o * layer.inputs;
                double rate = layer.biases < 0 ? 0.0 : other_[layer.biases + o];
                for (int i = 0; i < layer.inputs; ++i) rate += other_[first + i] * below[i] + (l == 0 ? 0.0 : theta_[first + i] * rates_[l - 1][i]);
                rates_[l][o] = is_hinge(l) ? rate : rate * derivative(l, o);
                const bool slides = is_hinge(l) ? some && is_hinge(surfaces[own].layer) : !std::isnan(gates_[l][o]);
                if (!has_jumps(l) || slides) continue;
                const double a = height(sample, l, o), ahead = is_hinge(l) ? (run_.loss.threshold - y * a) / (y * rate) : -a / rate;
                const double distance = std::abs(is_hinge(l) ? y * a - run_.loss.threshold : a);
                // What stands at a kink within rounding is not ahead of it.
                if (ahead > 0 && distance > 64 * std::numeric_limits<T>::epsilon() * size(sample, l, o)) time = std::min(time, ahead);
            }
        }
        if (some) set_gates(surfaces, own, std::numeric_limits<double>::quiet_NaN());
    }
    return time;
}

template <AnyLanes V>
void Sliding<V>::put_back(int lane, Pack<V>& theta) {
    std::vector<Surface>& surfaces = surfaces_[lane];
    load(theta, lane);
    find_basis(lane);
    for (std::size_t i = 0; i < surfaces.size(); ++i) {
        const Surface& surface = surfaces[i];
        if (i == 0 || surfaces[i - 1].sample != surface.sample) {
            set_gates(surfaces, i, 0.0);
            forward(surface.sample, surface.layer);
            set_gates(surfaces, i, std::numeric_limits<double>::quiet_NaN());
        }
        double left = height(surface.sample, surface.layer, surface.unit);
        if (is_hinge(surface.layer)) left = double(run_.task.labels[surface.sample]) * left - run_.loss.threshold;
        for (std::size_t j = 0; j < i; ++j) left -= overlap(int(i), int(j)) * along_[j];
        const double size = overlap(int(i), int(i));
        along_[i] = size == 0 ? 0.0 : left / size;
    }
    for (std::size_t j = 0; j < surfaces.size(); ++j)
        for (int n = rows_[j].begin; n < rows_[j].end; ++n) theta.at(n)[lane] -= roots_[n] * row(int(j))[n] * along_[j];
}

}  // namespace shoal
