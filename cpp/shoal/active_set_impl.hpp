// Parts of ActiveSet: velocities and gates along the surfaces on which a network slides. active_set_events.hpp has how it reaches and leaves them.
#pragma once

#include "shoal/active_set.hpp"

#include <limits>
#include <numeric>

namespace shoal {

template <AnyLanes V>
ActiveSet<V>::ActiveSet(const Run<T>& run, const Gradient<V>& gradient, double rtol, double atol)
    : held(run.network, run.loss, run.task.samples),
      sides(std::int64_t(run.task.samples) * held.map.per_sample),
      run_(run),
      single_(run, gradient, held.map),
      rtol_(rtol),
      atol_(atol),
      parameters_(run.network.parameters),
      gates_(held.map.per_sample) {
    // There are no more independent normals than parameters; also, at most 32 MB of them are kept.
    constexpr std::int64_t most = 1 << 22;
    capacity_ = held.map.any() ? int(std::min<std::int64_t>({parameters_, 512, std::max<std::int64_t>(1, most / parameters_)})) : 0;
    for (auto* velocities : {&raw_, &base_})
        for (std::vector<double>& velocity : *velocities) velocity.resize(held.map.any() ? parameters_ : 0);
    normals_.resize(std::int64_t(capacity_ + 1) * parameters_);
    rows_.resize(normals_.size());
    overlaps_.resize(std::int64_t(capacity_ + 1) * (capacity_ + 1));
    along_.resize(capacity_ + 1);
    velocity_.resize(parameters_);
    jump_.resize(parameters_);
}

template <AnyLanes V>
double ActiveSet<V>::dot(const double* a, const double* b) const {
    return std::inner_product(a, a + parameters_, b, 0.0);
}

template <AnyLanes V>
void ActiveSet<V>::load_gates(int lane, int sample) {
    const std::int64_t first = std::int64_t(sample) * map().per_sample;
    for (int n = 0; n < map().per_sample; ++n) gates_[n] = held.gates.at(first + n)[lane];
}

// Runs a sample forward with the held gates, which are then in gates_.
template <AnyLanes V>
void ActiveSet<V>::run_forward(int lane, int sample) {
    load_gates(lane, sample);
    single_.forward(sample, gates_.data());
}

// Returns the largest entry of a direction of u, in units of the tolerance of theta.
template <AnyLanes V>
double ActiveSet<V>::in_tolerances(int lane, const Pack<V>& theta, const double* direction) const {
    double largest = 0.0;
    for (int n = 0; n < parameters_; ++n)
        largest = std::max(largest, single_.root(n) * std::abs(direction[n]) / (atol_ + rtol_ * std::abs(double(theta.at(n)[lane])) + 1e-300));
    return largest;
}

// Sets the gates of one sample's members of the bundles to what these values of the bundles' gates imply.
template <AnyLanes V>
void ActiveSet<V>::set_gates(int sample, const std::vector<Bundle>& bundles, const std::vector<double>& values) {
    const auto gate_of = [&](const Member& member) -> double& { return gates_[map().place(member.surface.layer, member.surface.unit)]; };
    bool any_follower = false;
    for (const Bundle& bundle : bundles)
        for (const Member& member : bundle.members)
            if (member.surface.sample == sample && follows(bundle, member)) gate_of(member) = 0, any_follower = true;
    for (std::size_t b = 0; b < bundles.size(); ++b)
        for (const Member& member : bundles[b].members) {
            if (member.surface.sample != sample || follows(bundles[b], member)) continue;
            const double closed = map().closed(member.surface.layer);
            gate_of(member) = closed + (1 - closed) * (values[b] * member.above + (1 - values[b]) * member.below);
        }
    if (!any_follower) return;
    // A lower unit that the network leaves overrides one along which it slides.
    for (const bool leaves : {false, true})
        for (std::size_t b = 0; b < bundles.size(); ++b) {
            if ((deciding_ && problem_.stands[b] != Stand::along) != leaves) continue;
            for (const Member& member : bundles[b].members) {
                if (member.surface.sample != sample || !follows(bundles[b], member)) continue;
                const bool up = lowest(bundles[b], sample).above;
                gate_of(member) += (up ? values[b] : 1 - values[b]) * (member.on(up) - gate_of(member));
            }
        }
}

// Sets a kink to above (1), below (-1), or, for 0, closed with the network sliding along it.
template <AnyLanes V>
void ActiveSet<V>::set_side(int lane, const Member& member, double side) {
    const std::int64_t number = map().number(member.surface);
    sides.lane(number, lane) = T(side);
    held.gates.lane(number, lane) = T(side > 0 ? 1.0 : map().closed(member.surface.layer));
}

// Whether units of several layers switch with the bundle for this sample.
template <AnyLanes V>
bool ActiveSet<V>::is_layered(const Bundle& bundle, int sample) {
    int layer = -1;
    for (const Member& member : bundle.members) {
        if (member.surface.sample != sample) continue;
        if (layer >= 0 && member.surface.layer != layer) return true;
        layer = member.surface.layer;
    }
    return false;
}

// Calls visit(share) with the gates of a sample that these values of the bundles imply. Usually this is one call. If units of several layers switch together,
// the mean of what they pass on differs from what their mean gates pass on. Then it is one call per combination of sides, with the weight `share` of that
// combination in the mean.
template <AnyLanes V>
template <class Visit>
void ActiveSet<V>::for_each_side(int lane, int sample, const std::vector<Bundle>& bundles, std::vector<double>& values, double share, Visit&& visit) {
    for (std::size_t b = 0; b < bundles.size(); ++b) {
        const double value = values[b];
        if (value == 0 || value == 1 || !is_layered(bundles[b], sample)) continue;
        for (const double side : {1.0, 0.0}) {
            values[b] = side;
            for_each_side(lane, sample, bundles, values, share * (side > 0 ? value : 1 - value), visit);
        }
        values[b] = value;
        return;
    }
    load_gates(lane, sample);
    set_gates(sample, bundles, values);
    visit(share);
}

// Sets row i to the part of normal i that is orthogonal to the rows before it, normalised. Returns the length of that part, or 0 if it is within rounding of 0.
template <AnyLanes V>
double ActiveSet<V>::orthogonalise(int i) {
    double* const own = row(i);
    std::copy_n(normal(i), parameters_, own);
    const double whole = norm(own);
    double* const overlap = overlaps_.data() + std::int64_t(i) * (capacity_ + 1);
    std::fill_n(overlap, capacity_ + 1, 0.0);
    for (int round = 0; round < 2; ++round)
        for (int j = 0; j < i; ++j) {
            const double part = dot(row(j), own);
            for (int n = 0; n < parameters_; ++n) own[n] -= part * row(j)[n];
            overlap[j] += part;
        }
    const double length = norm(own);
    const bool dependent = !(length > 1e-7 * whole);
    for (int n = 0; n < parameters_; ++n) own[n] = dependent ? 0.0 : own[n] / length;
    return overlap[i] = dependent ? 0.0 : length;
}

// Computes the normals of the bundles and their heights (into along_), at the loaded parameters.
template <AnyLanes V>
void ActiveSet<V>::find_normals(int lane, const std::vector<Bundle>& bundles) {
    for (std::size_t i = 0; i < bundles.size(); ++i) {
        const Surface& surface = bundles[i].members.front().surface;
        run_forward(lane, surface.sample);
        along_[i] = single_.height(surface);
        single_.normal(surface, gates_.data(), normal(int(i)));
        orthogonalise(int(i));
    }
}

// Removes from velocity_ its parts along the normals of the surfaces on which the lane slides, and stores it as the lane's slope.
template <AnyLanes V>
void ActiveSet<V>::make_tangent(int lane, Pack<V>& slope) {
    for (int j = 0; j < int(bundles_[lane].size()); ++j) {
        const double part = dot(row(j), velocity_.data());
        for (int n = 0; n < parameters_; ++n) velocity_[n] -= part * row(j)[n];
    }
    for (int n = 0; n < parameters_; ++n) slope.at(n)[lane] = T(velocity_[n] * single_.root(n));
}

template <AnyLanes V>
void ActiveSet<V>::follow(int lane, const Pack<V>& at, Pack<V>& slope, bool gates) {
    std::vector<Bundle>& bundles = bundles_[lane];
    single_.load(at, lane);
    find_normals(lane, bundles);
    std::vector<double>& raw = raw_[lane];
    for (int n = 0; n < parameters_; ++n) raw[n] = slope.at(n)[lane] / single_.root(n);
    velocity_ = raw;
    make_tangent(lane, slope);
    if (!gates) return;
    values_.clear();
    for (const Bundle& bundle : bundles) values_.push_back(std::clamp(bundle.first, 0.0, 1.0));
    // Gates multiply one another only within a sample: two rounds find most of them to rounding.
    for (int round = 0; round < 4; ++round) {
        linearise(lane, raw, bundles, values_);
        const bool found = problem_.slide();
        double moved = 0.0;
        for (std::size_t b = 0; b < bundles.size(); ++b) {
            const double now = found ? problem_.gates[b] : values_[b];
            moved = std::max(moved, std::abs(now - values_[b]) / problem_.slack(int(b)));
            values_[b] = now;
        }
        if (moved <= 1.0) break;
    }
    for (int b = 0; b < int(bundles.size()); ++b) {
        Bundle& bundle = bundles[b];
        bundle.last = values_[b];
        bundle.slack = problem_.slack(b);
        bundle.pull = problem_.response(b, b) / dot(normal(b), normal(b));
        bundle.holds = problem_.response(b, b) < -problem_.faint[b];
        bundle.reach = in_tolerances(lane, at, normal(b));
    }
}

// Adds factor x the velocity that a sample causes with the loaded gates.
template <AnyLanes V>
void ActiveSet<V>::add_velocity(int sample, double factor, std::vector<double>& to) {
    single_.forward(sample, gates_.data());
    single_.add_velocity(sample, gates_.data(), factor, to.data());
}

// Collects the samples of those bundles in samples_.
template <AnyLanes V>
void ActiveSet<V>::find_samples(const std::vector<Bundle>& bundles, std::size_t begin, std::size_t end) {
    samples_.clear();
    for (std::size_t b = begin; b < end; ++b)
        for (const Member& member : bundles[b].members) samples_.push_back(member.surface.sample);
    std::sort(samples_.begin(), samples_.end());
    samples_.erase(std::unique(samples_.begin(), samples_.end()), samples_.end());
}

// Computes, at these values of the bundles' gates, the velocity and the speeds of the bundles' heights as linear functions of the gates. `held_velocity` is the
// velocity with the held gates.
template <AnyLanes V>
void ActiveSet<V>::linearise(int lane, const std::vector<double>& held_velocity, const std::vector<Bundle>& bundles, std::vector<double>& values) {
    const int count = int(bundles.size());
    if (problem_.count() != count) problem_.resize(count);
    velocity_ = held_velocity;
    find_samples(bundles, 0, bundles.size());
    for (const int sample : samples_) {
        load_gates(lane, sample);
        add_velocity(sample, -1.0, velocity_);
        for_each_side(lane, sample, bundles, values, 1.0, [&](double share) { add_velocity(sample, share, velocity_); });
    }
    double size = norm(velocity_.data());
    for (int b = 0; b < count; ++b) {
        std::fill(jump_.begin(), jump_.end(), 0.0);
        find_samples(bundles, b, b + 1);
        const double own = values[b];
        for (const double side : {1.0, 0.0}) {
            values[b] = side;
            for (const int sample : samples_)
                for_each_side(lane, sample, bundles, values, side > 0 ? 1.0 : -1.0, [&](double share) { add_velocity(sample, share, jump_); });
            size = std::max(size, norm(jump_.data()));
        }
        values[b] = own;
        for (int c = 0; c < count; ++c) problem_.response(c, b) = dot(normal(c), jump_.data());
    }
    for (int b = 0; b < count; ++b) {
        problem_.speeds[b] = dot(normal(b), velocity_.data());
        for (int c = 0; c < count; ++c) problem_.speeds[b] -= problem_.response(b, c) * values[c];
        problem_.noise[b] = noise_ * size * norm(normal(b));
        problem_.faint[b] = 1e-11 * size * norm(normal(b));
    }
}

template <AnyLanes V>
double ActiveSet<V>::part(int lane, double h) const {
    double part = 1.0;
    for (const Bundle& bundle : bundles_[lane]) {
        if (!bundle.holds || (bundle.last <= 1.0 && bundle.last >= 0.0)) continue;
        const double bound = bundle.last > 1.0 ? 1.0 : 0.0;
        const double reached = std::clamp((bound - bundle.first) / (bundle.last - bundle.first), 0.0, 1.0), beyond = 1.0 - reached;
        // Beyond its range the gate grows about linearly, and pulls along the normal meanwhile.
        const double error = 0.5 * beyond * h * std::abs((bundle.last - bound) * bundle.pull) * bundle.reach;
        if (error > 1.0) part = std::min(part, reached + 0.5 * beyond / std::sqrt(error));
    }
    return part;
}

template <AnyLanes V>
bool ActiveSet<V>::lets_go(int lane) const {
    return std::any_of(bundles_[lane].begin(), bundles_[lane].end(),
                       [](const Bundle& bundle) { return !bundle.holds || bundle.last > 1.0 + bundle.slack || bundle.last < -bundle.slack; });
}

template <AnyLanes V>
double ActiveSet<V>::turn(int lane) const {
    double turn = std::numeric_limits<double>::infinity();
    for (const Bundle& bundle : bundles_[lane])
        if (!bundle.holds) turn = std::min({turn, 1.0, bundle.first_pull / (bundle.first_pull - bundle.pull)});
    return turn;
}

template <AnyLanes V>
double ActiveSet<V>::exit(int lane) const {
    double exit = std::numeric_limits<double>::infinity();
    for (const Bundle& bundle : bundles_[lane])
        if (bundle.holds && (bundle.last > 1.0 || bundle.last < 0.0))
            exit = std::min(exit, std::clamp(((bundle.last > 1.0 ? 1.0 : 0.0) - bundle.first) / (bundle.last - bundle.first), 0.0, 1.0));
    return exit;
}

template <AnyLanes V>
void ActiveSet<V>::advance(int lane) {
    if (!slides(lane)) return;
    for (Bundle& bundle : bundles_[lane]) bundle.first = bundle.last, bundle.first_pull = bundle.pull;
    base_[lane] = raw_[lane];
}

// Moves the lane's parameters by the shortest way onto the surfaces whose heights are in along_.
template <AnyLanes V>
void ActiveSet<V>::move_onto(int lane, Pack<V>& theta, int count) {
    for (int i = 0; i < count; ++i) {
        const double* const overlap = overlaps_.data() + std::int64_t(i) * (capacity_ + 1);
        double left = -along_[i];
        for (int j = 0; j < i; ++j) left -= overlap[j] * along_[j];
        along_[i] = overlap[i] == 0 ? 0.0 : left / overlap[i];
    }
    for (int j = 0; j < count; ++j)
        for (int n = 0; n < parameters_; ++n) theta.at(n)[lane] += T(single_.root(n) * row(j)[n] * along_[j]);
}

template <AnyLanes V>
void ActiveSet<V>::put_back(int lane, Pack<V>& theta) {
    single_.load(theta, lane);
    find_normals(lane, bundles_[lane]);
    move_onto(lane, theta, int(bundles_[lane].size()));
}

}  // namespace shoal
