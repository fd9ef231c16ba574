// Parts of ActiveSet: how a network comes onto surfaces and leaves them.
#pragma once

#include "shoal/active_set.hpp"

namespace shoal {

// Rounding of a height, in units of the size of its terms.
constexpr double height_rounding = 64 * std::numeric_limits<double>::epsilon();

template <AnyLanes V>
void ActiveSet<V>::begin(int lane, const Pack<V>& theta) {
    forget(lane);
    single_.load(theta, lane);
    for (int sample = 0; sample < run_.task.samples; ++sample) {
        single_.forward_by_heights(sample, gates_.data());
        const bool matters = run_.task.weights[sample] != 0;
        for (int n = 0; n < map().per_sample; ++n) {
            const std::int64_t number = std::int64_t(sample) * map().per_sample + n;
            held.gates.lane(number, lane) = T(gates_[n]);
            sides.lane(number, lane) = T(!matters ? 0.0 : gates_[n] == 1.0 ? 1.0 : -1.0);
        }
    }
}

template <AnyLanes V>
bool ActiveSet<V>::is_near(int lane, const Pack<V>& theta, std::int64_t number) {
    const Surface surface = map().surface(number);
    const int own = int(bundles_[lane].size());
    if (own >= capacity_) return false;
    single_.load(theta, lane);
    find_normals(lane, bundles_[lane]);
    load_gates(lane, surface.sample);
    single_.forward(surface.sample, gates_.data());
    const double height = std::abs(single_.height(surface));
    single_.normal(surface, gates_.data(), normal(own));
    const double length = orthogonalise(own);
    if (height <= height_rounding * (single_.size(surface) + single_.length() * length)) return true;
    if (length == 0) return false;
    double farthest = 0.0;
    for (int n = 0; n < parameters_; ++n)
        farthest = std::max(farthest, single_.root(n) * std::abs(row(own)[n]) / (atol_ + rtol_ * std::abs(double(theta.at(n)[lane])) + 1e-300));
    return height / length * farthest <= 1.0;
}

template <AnyLanes V>
bool ActiveSet<V>::is_beyond_rounding(int lane, const Pack<V>& theta, std::int64_t number, double height) {
    const Surface surface = map().surface(number);
    single_.load(theta, lane);
    load_gates(lane, surface.sample);
    single_.forward(surface.sample, gates_.data());
    single_.normal(surface, gates_.data(), jump_.data());
    return std::abs(height) > height_rounding * (single_.size(surface) + single_.length() * std::sqrt(dot(jump_.data(), jump_.data())));
}

// Takes a surface on which the network stands among those that meet there: as one of its own, or as a member of the bundle to which it is parallel. False where it
// depends on several of them; `joins`: where it would be one of its own, it is left out.
template <AnyLanes V>
bool ActiveSet<V>::add_surface(int lane, const Surface& surface, bool joins) {
    const int own = int(meeting_.size());
    if (own >= capacity_) return false;
    load_gates(lane, surface.sample);
    single_.forward(surface.sample, gates_.data());
    along_[own] = single_.height(surface);
    double* const n = normal(own);
    single_.normal(surface, gates_.data(), n);
    for (int b = 0; b < own; ++b) {
        const double* const other = normal(b);
        const double factor = dot(n, other) / dot(other, other);
        double off = 0.0;
        for (int k = 0; k < parameters_; ++k) off += (n[k] - factor * other[k]) * (n[k] - factor * other[k]);
        if (!(off <= 1e-14 * dot(n, n))) continue;
        meeting_[b].members.push_back({surface, factor > 0, factor < 0});
        return true;
    }
    if (joins) return true;
    if (orthogonalise(own) == 0) return false;
    Bundle bundle;
    bundle.members.push_back({surface, true, false});
    bundle.first = bundle.last = sides.lane(map().number(surface), lane) > 0 ? 1.0 : 0.0;
    meeting_.push_back(bundle);
    return true;
}

template <AnyLanes V>
bool ActiveSet<V>::is_member(const Surface& surface) const {
    for (const Bundle& bundle : meeting_)
        for (const Member& member : bundle.members)
            if (map().number(member.surface) == map().number(surface)) return true;
    return false;
}

// The length of a sample's input, by which normals are measured.
template <AnyLanes V>
double ActiveSet<V>::input_length(int sample) const {
    const T* const x = run_.task.inputs.data() + std::int64_t(sample) * run_.task.dimension;
    return std::sqrt(std::inner_product(x, x + run_.task.dimension, x, 0.0));
}

// Whether a height is 0 to rounding: of its terms, and of the parameters that are where they are to rounding only. Leaves its normal behind those that are known.
template <AnyLanes V>
bool ActiveSet<V>::is_met(const Surface& surface) {
    double* const n = normal(int(meeting_.size()));
    single_.normal(surface, gates_.data(), n);
    return std::abs(single_.height(surface)) <= height_rounding * (single_.size(surface) + single_.length() * std::sqrt(dot(n, n)));
}

// Whether no parameter changes the height whose normal is the next: the units below it are all closed.
template <AnyLanes V>
bool ActiveSet<V>::is_deaf(const Surface& surface) {
    const double* const n = normal(int(meeting_.size()));
    return surface.layer > 0 && !map().is_hinge(surface.layer) && std::sqrt(dot(n, n)) <= 1e-12 * input_length(surface.sample);
}

// Adds all other surfaces on which the network stands.
template <AnyLanes V>
bool ActiveSet<V>::find_coincident(int lane) {
    for (int sample = 0; sample < run_.task.samples; ++sample) {
        load_gates(lane, sample);
        single_.forward(sample, gates_.data());
        for (int place = 0; place < map().per_sample; ++place) {
            const std::int64_t number = std::int64_t(sample) * map().per_sample + place;
            if (sides.lane(number, lane) == 0) continue;
            const Surface surface = map().surface(number);
            // Far from rounding, whatever the normal.
            if (std::abs(single_.height(surface)) > 1e-9 * (single_.size(surface) + single_.length())) continue;
            if (is_member(surface) || !is_met(surface) || is_deaf(surface)) continue;
            // A unit without weights stays without, if no surface that it has come to is one of its own.
            if (!add_surface(lane, surface, single_.size(surface) == 0)) return false;
        }
    }
    return true;
}

// Units that hear of a sample through a unit of a bundle alone switch with it: adds them to the bundle, open where their heights grow away from the surface.
template <AnyLanes V>
void ActiveSet<V>::add_deaf(int lane, std::size_t b) {
    samples_.clear();
    for (const Member& member : meeting_[b].members)
        if (!map().is_hinge(member.surface.layer)) samples_.push_back(member.surface.sample);
    std::sort(samples_.begin(), samples_.end());
    samples_.erase(std::unique(samples_.begin(), samples_.end()), samples_.end());
    values_.assign(meeting_.size(), 0.0);
    for (const int sample : samples_) {
        const std::size_t before = meeting_[b].members.size();
        for (const bool up : {true, false}) {
            load_gates(lane, sample);
            for (std::size_t c = 0; c < meeting_.size(); ++c) values_[c] = std::clamp(meeting_[c].first, 0.0, 1.0);
            values_[b] = up;
            set_gates(sample, meeting_, values_);
            single_.forward(sample, gates_.data());
            std::copy_n(row(int(b)), parameters_, jump_.data());
            if (!up)
                for (double& entry : jump_) entry = -entry;
            single_.rates(sample, gates_.data(), jump_.data(), [&](int layer, int unit, double rate) {
                const Surface surface{sample, layer, unit};
                if (layer == 0 || map().is_hinge(layer) || rate == 0) return;
                if (std::abs(single_.height(surface)) > height_rounding * (single_.size(surface) + single_.length() * input_length(sample))) return;
                auto& members = meeting_[b].members;
                auto own = std::find_if(members.begin() + std::ptrdiff_t(before), members.end(),
                                        [&](const Member& member) { return map().number(member.surface) == map().number(surface); });
                if (own == members.end()) {
                    if (is_member(surface)) return;
                    own = members.insert(members.end(), {surface, false, false});
                }
                (up ? own->above : own->below) = rate > 0;
                gates_[map().place(layer, unit)] = rate > 0 ? 1.0 : map().closed(layer);
            });
        }
    }
}

template <AnyLanes V>
bool ActiveSet<V>::settle(int lane, Pack<V>& theta, Pack<V>& slope, const std::vector<std::int64_t>& hits) {
    if (!slides(lane))
        for (int n = 0; n < parameters_; ++n) base_[lane][n] = slope.at(n)[lane] / single_.root(n);
    single_.load(theta, lane);
    meeting_ = bundles_[lane];
    const std::size_t sliding = meeting_.size();
    find_normals(lane, meeting_);
    for (const std::int64_t hit : hits)
        if (!is_member(map().surface(hit)) && !add_surface(lane, map().surface(hit), false)) return fprintf(stderr,"WHY hit dependent\n"),false;
    if (meeting_.size() > sliding) {
        move_onto(lane, theta, int(meeting_.size()));
        single_.load(theta, lane);
        find_normals(lane, meeting_);
    }
    if (!find_coincident(lane)) return fprintf(stderr,"WHY coincident dependent\n"),false;
    if (meeting_.empty()) return true;
    for (std::size_t b = sliding; b < meeting_.size(); ++b) add_deaf(lane, b);
    if (!decide(lane, sliding)) return false;
    find_normals(lane, bundles_[lane]);
    for (int j = 0; j < int(bundles_[lane].size()); ++j) {
        const double part = dot(row(j), velocity_.data());
        for (int n = 0; n < parameters_; ++n) velocity_[n] -= part * row(j)[n];
    }
    for (int n = 0; n < parameters_; ++n) slope.at(n)[lane] = T(velocity_[n] * single_.root(n));
    return true;
}

// Finds where the network goes on, and puts its gates so.
template <AnyLanes V>
bool ActiveSet<V>::decide(int lane, std::size_t sliding) {
    const std::size_t count = meeting_.size();
    std::vector<double> values(count);
    problem_.resize(int(count));
    for (std::size_t b = 0; b < count; ++b) {
        values[b] = std::clamp(meeting_[b].first, 0.0, 1.0);
        problem_.stands[b] = b < sliding ? Stand::along : values[b] > 0.5 ? Stand::above : Stand::below;
    }
    bool settled = false;
    for (int round = 0; round < 12 && !settled; ++round) {
        linearise(lane, base_[lane], meeting_, values);
        const auto was=problem_.stands; if (!problem_.solve()) {for(int i=0;i<int(count);++i){const Surface&u=meeting_[i].members[0].surface; fprintf(stderr,"  [%d] s%d l%d u%d mem%d was%d now%d val %.6g gate %.6g q %.4g speed %.4g noise %.2g faint %.2g M:",i,u.sample,u.layer,u.unit,int(meeting_[i].members.size()),int(was[i]),int(problem_.stands[i]),values[i],problem_.gates[i],problem_.speeds[i],problem_.speed(i),problem_.noise[i],problem_.faint[i]);for(int j=0;j<int(count);++j)fprintf(stderr," %.3g",problem_.response(i,j));fprintf(stderr,"\n");}} if (!problem_.solve()) return fprintf(stderr,"WHY unsolved m=%d round %d\n",int(count),round),false;
        double moved = 0.0;
        for (std::size_t b = 0; b < count; ++b) moved = std::max(moved, std::abs(problem_.gates[b] - values[b]));
        settled = moved <= 1e-11;
        for (std::size_t b = 0; b < count; ++b) values[b] = std::clamp(problem_.gates[b], 0.0, 1.0);
    }
    if (!settled) return fprintf(stderr,"WHY unsettled m=%d\n",int(count)),false;
    bundles_[lane].clear();
    for (std::size_t b = 0; b < count; ++b) {
        Bundle& bundle = meeting_[b];
        const Stand stand = problem_.stands[b];
        for (const Member& member : bundle.members)
            set_side(lane, member, stand == Stand::along ? 0.0 : (stand == Stand::above ? member.above : member.below) ? 1.0 : -1.0);
        if (stand != Stand::along) continue;
        bundle.first = bundle.last = values[b];
        bundle.first_pull = problem_.response(int(b), int(b)) / dot(normal(int(b)), normal(int(b)));
        bundles_[lane].push_back(bundle);
    }
    // The velocity under the gates now held, in case that more surfaces are met before the next step.
    base_[lane] = velocity_;
    find_samples(meeting_, 0, count);
    for (const int sample : samples_) {
        load_gates(lane, sample);
        add_velocity(sample, 1.0, base_[lane]);
        set_gates(sample, meeting_, values);
        add_velocity(sample, -1.0, base_[lane]);
    }
    return true;
}

}  // namespace shoal
