// Parts of ActiveSet: how a network reaches surfaces and leaves them.
#pragma once

#include "shoal/active_set_meeting.hpp"

namespace shoal {

template <AnyLanes V>
void ActiveSet<V>::begin(int lane, const Pack<V>& theta) {
    forget(lane);
    if (!map().any()) return;
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
    run_forward(lane, surface.sample);
    const double height = std::abs(single_.height(surface));
    single_.normal(surface, gates_.data(), normal(own));
    const double length = orthogonalise(own);
    if (height <= rounding(surface, length)) return true;
    if (length == 0) return false;
    return height / length * in_tolerances(lane, theta, row(own)) <= 1.0;
}

template <AnyLanes V>
bool ActiveSet<V>::is_beyond_rounding(int lane, const Pack<V>& theta, std::int64_t number, double height) {
    const Surface surface = map().surface(number);
    single_.load(theta, lane);
    run_forward(lane, surface.sample);
    single_.normal(surface, gates_.data(), jump_.data());
    return std::abs(height) > rounding(surface, norm(jump_.data()));
}

// Opens followers of several units if their heights grow from here, and closes them if not.
template <AnyLanes V>
void ActiveSet<V>::let_follow(int lane) {
    for (const Surface& follower : followers_) {
        load_gates(lane, follower.sample);
        add_velocity(follower.sample, -1.0, base_[lane]);
        bool open = false;
        single_.rates(follower.sample, gates_.data(), velocity_.data(), [&](int layer, int unit, double rate) {
            if (layer == follower.layer && unit == follower.unit) open = rate > 1e-12 * single_.length() * input_length(follower.sample);
        });
        set_side(lane, {follower, open, open}, open ? 1.0 : -1.0);
        load_gates(lane, follower.sample);
        add_velocity(follower.sample, 1.0, base_[lane]);
    }
}

// Whether a unit without incoming weights remains without, given the gates of the bundles that meet.
template <AnyLanes V>
bool ActiveSet<V>::is_sink(int lane, int layer, int unit) {
    heard_.clear();
    pulls_.clear();
    values_.clear();
    for (const Bundle& bundle : meeting_) values_.push_back(std::clamp(bundle.first, 0.0, 1.0));
    for (int sample = 0; sample < run_.task.samples; ++sample) {
        if (run_.task.weights[sample] == 0) continue;
        double pull = 0.0;
        for_each_side(lane, sample, meeting_, values_, 1.0, [&](double share) {
            single_.forward(sample, gates_.data());
            pull += share * single_.pull({sample, layer, unit}, gates_.data(), jump_.data());
        });
        pulls_.push_back(pull);
        single_.add_heard(sample, layer, heard_);
    }
    return sink_.holds(int(heard_.size() / pulls_.size()), heard_, pulls_);
}

// Adds, to the velocity at the beginning of the attempt, factor x the velocity that all samples cause with the held gates.
template <AnyLanes V>
void ActiveSet<V>::add_all_velocities(int lane, double factor) {
    for (int sample = 0; sample < run_.task.samples; ++sample) {
        if (run_.task.weights[sample] == 0) continue;
        load_gates(lane, sample);
        add_velocity(sample, factor, base_[lane]);
    }
}

// The surfaces of one unit meet where it has no incoming weights. Sets these weights to 0 and takes the unit's surfaces away from those that meet. Returns
// whether the flow keeps the unit without them.
template <AnyLanes V>
bool ActiveSet<V>::collapse(int lane, Pack<V>& theta, const Surface& surface) {
    const int l = surface.layer, unit = surface.unit;
    if (map().is_hinge(l) || map().closed_unit != 0) return false;
    const auto is_of_unit = [&](const Surface& other) { return other.layer == l && other.unit == unit; };
    const Layer& layer = run_.network.layers[l];
    single_.load(theta, lane);
    for (int sample = 0; sample < run_.task.samples; ++sample) {
        run_forward(lane, sample);
        const Surface own{sample, l, unit};
        if (run_.task.weights[sample] != 0 && !is_met(own)) return false;
    }
    const auto foreign = [&](const Member& member) { return !is_of_unit(member.surface) && member.surface.layer <= l; };
    const auto of_unit = [&](const Bundle& bundle) { return is_of_unit(bundle.members.front().surface); };
    for (const Bundle& bundle : meeting_)
        if (of_unit(bundle) && std::any_of(bundle.members.begin(), bundle.members.end(), foreign)) return false;
    add_all_velocities(lane, -1.0);
    for (const Bundle& bundle : meeting_)
        if (of_unit(bundle))
            for (const Member& member : bundle.members) set_side(lane, member, -1.0);
    for (int sample = 0; sample < run_.task.samples; ++sample)
        if (run_.task.weights[sample] != 0) set_side(lane, {{sample, l, unit}, false, false}, -1.0);
    add_all_velocities(lane, 1.0);
    std::erase_if(meeting_, of_unit);
    std::erase_if(crowded_, is_of_unit);
    for (int i = 0; i < layer.inputs; ++i) theta.at(layer.weights + unit * layer.inputs + i)[lane] = 0;
    if (layer.biases >= 0) theta.at(layer.biases + unit)[lane] = 0;
    single_.load(theta, lane);
    collapsed_[lane].push_back(surface);
    return is_sink(lane, l, unit);
}

// Whether the incoming weights of a unit are so small that the tolerance cannot tell how it continues.
template <AnyLanes V>
bool ActiveSet<V>::is_lost(int lane, const Surface& surface) {
    if (map().is_hinge(surface.layer)) return false;
    const Layer &in = run_.network.layers[surface.layer], &out = run_.network.layers[surface.layer + 1];
    const int inputs = in.inputs + (in.biases >= 0);
    double incoming = 0.0, outgoing = 0.0;
    for (int i = 0; i < inputs; ++i) {
        const double w = single_.weight(i < in.inputs ? in.weights + surface.unit * in.inputs + i : in.biases + surface.unit);
        incoming += w * w;
    }
    for (int o = 0; o < out.outputs; ++o)
        outgoing += single_.weight(out.weights + o * out.inputs + surface.unit) * single_.weight(out.weights + o * out.inputs + surface.unit);
    constexpr double of_a_step = 160;  // ten tolerances, in units of the sixteenth that one step may use
    const double near = of_a_step * rtol_;
    if (inputs == 1 || incoming == 0 || incoming > near * near * outgoing) return false;
    return !is_sink(lane, surface.layer, surface.unit) && sink_.crowds(inputs, heard_, pulls_);
}

template <AnyLanes V>
bool ActiveSet<V>::rests(int lane, const Pack<V>& theta) {
    if (collapsed_[lane].empty()) return true;
    single_.load(theta, lane);
    meeting_ = bundles_[lane];
    return std::all_of(collapsed_[lane].begin(), collapsed_[lane].end(), [&](const Surface& unit) { return is_sink(lane, unit.layer, unit.unit); });
}

// Finds, into meeting_ and crowded_, the surfaces that meet where the network has reached those of `hits`, and moves the network onto them. Returns false if
// that is not determined.
template <AnyLanes V>
bool ActiveSet<V>::meet(int lane, Pack<V>& theta, const Pack<V>& slope, const std::vector<std::int64_t>& hits) {
    if (!slides(lane))
        for (int n = 0; n < parameters_; ++n) base_[lane][n] = slope.at(n)[lane] / single_.root(n);
    single_.load(theta, lane);
    meeting_ = bundles_[lane];
    crowded_.clear();
    followers_.clear();
    const std::size_t sliding = meeting_.size();
    find_normals(lane, meeting_);
    // Surfaces that hear of a sample through units that are met here are handled after those units.
    const auto hears_of_hit = [&](const Surface& surface) {
        return std::any_of(hits.begin(), hits.end(), [&](std::int64_t other) {
            const Surface below = map().surface(other);
            return !map().is_hinge(surface.layer) && below.sample == surface.sample && below.layer < surface.layer;
        });
    };
    for (const std::int64_t hit : hits)
        if (!hears_of_hit(map().surface(hit)) && !is_member(map().surface(hit)) && !add_surface(lane, map().surface(hit), false)) return false;
    if (std::any_of(hits.begin(), hits.end(), [&](std::int64_t hit) { return is_lost(lane, map().surface(hit)); })) return false;
    if (meeting_.size() > sliding) {
        move_onto(lane, theta, int(meeting_.size()));
        single_.load(theta, lane);
        find_normals(lane, meeting_);
    }
    for (int n = 0; n < parameters_; ++n) velocity_[n] = slope.at(n)[lane] / single_.root(n);
    return find_coincident(lane);
}

template <AnyLanes V>
bool ActiveSet<V>::settle(int lane, Pack<V>& theta, Pack<V>& slope, const std::vector<std::int64_t>& hits, bool again) {
    if (!meet(lane, theta, slope, hits)) return false;
    if (meeting_.empty() && crowded_.empty()) return true;
    while (!crowded_.empty()) {
        const Surface crowded = crowded_.front();
        if (!collapse(lane, theta, crowded)) return false;
        find_normals(lane, meeting_);
    }
    for (std::size_t b = 0; b < meeting_.size(); ++b)
        if (!is_along(lane, meeting_[b]) && !add_touched(lane, b)) return false;
    // A bundle along which the network slides may have other units that are met now as followers.
    bool met = false;
    for (std::size_t b = 0; b < meeting_.size(); ++b) {
        const bool along = is_along(lane, meeting_[b]);
        const auto is_met_and_hears = [&](const Bundle& above) { return !is_along(lane, above) && hears(above, meeting_[b]); };
        if (!along || std::any_of(meeting_.begin(), meeting_.end(), is_met_and_hears)) add_followers(lane, b);
        met = met || !along;
    }
    if (has_too_many_sides()) return false;
    noise_ = again ? 1e-15 : 1e-12;
    deciding_ = true;
    bool decided = decide(lane);
    if (decided) step_aside(lane, theta);
    dissolve_deaf(lane);
    // By now, surfaces of units above a unit that has switched have other normals.
    if (decided && met && slides(lane) && map().hidden_layers > 1) {
        meeting_ = bundles_[lane];
        decided = decide(lane);
        dissolve_deaf(lane);
    }
    deciding_ = false;
    noise_ = 1e-12;
    if (!decided) return false;
    make_tangent(lane, slope);
    let_follow(lane);
    return true;
}

// Moves the network to its side of each surface along which it does not slide, so far that rounding keeps it there: the parameters alone then show the side.
template <AnyLanes V>
void ActiveSet<V>::step_aside(int lane, Pack<V>& theta) {
    find_normals(lane, meeting_);
    for (std::size_t b = 0; b < meeting_.size(); ++b) {
        if (meeting_[b].members.empty() || problem_.stands[b] == Stand::along) continue;
        const Surface& surface = meeting_[b].members.front().surface;
        if (bends(map().number(surface))) continue;
        run_forward(lane, surface.sample);
        const double far = rounding(surface, norm(normal(int(b))));
        along_[b] -= problem_.stands[b] == Stand::above ? far : -far;
    }
    move_onto(lane, theta, int(meeting_.size()));
    single_.load(theta, lane);
}

// Units that heard of a sample only through units that are now closed no longer slide along its surface: nothing moves their heights.
template <AnyLanes V>
void ActiveSet<V>::dissolve_deaf(int lane) {
    std::vector<Bundle>& bundles = bundles_[lane];
    find_normals(lane, bundles);
    const std::size_t before = bundles.size();
    for (std::size_t b = bundles.size(); b-- > 0;) {
        const Surface& surface = bundles[b].members.front().surface;
        if (surface.layer == 0 || map().is_hinge(surface.layer)) continue;
        if (norm(normal(int(b))) > 1e-12 * input_length(surface.sample)) continue;
        for (const Member& member : bundles[b].members) set_side(lane, member, -1.0);
        bundles.erase(bundles.begin() + std::ptrdiff_t(b));
    }
    if (bundles.size() < before) find_normals(lane, bundles);
}

// Replaces the values by the gates that were found, clamped to [-1, 2]. Returns the largest change, in units of the accuracy of the gate.
template <AnyLanes V>
double ActiveSet<V>::take_gates(std::vector<double>& values) const {
    double moved = 0.0;
    for (std::size_t b = 0; b < values.size(); ++b) {
        const double gate = std::clamp(problem_.gates[b], -1.0, 2.0);
        moved = std::max(moved, std::abs(gate - values[b]) / problem_.slack(int(b)));
        values[b] = gate;
    }
    return moved;
}

// Sets the gates of the surfaces that meet by their stands, and takes followers out of bundles that no longer decide about them.
template <AnyLanes V>
void ActiveSet<V>::put_gates(int lane) {
    const auto each = [&](auto&& visit) {
        for (std::size_t b = 0; b < meeting_.size(); ++b)
            for (const Member& member : meeting_[b].members) visit(problem_.stands[b], meeting_[b], member);
    };
    // Later settings override earlier ones.
    each([&](Stand stand, const Bundle& bundle, const Member& member) {
        if (stand != Stand::along && follows(bundle, member)) set_side(lane, member, -1.0);
    });
    each([&](Stand stand, const Bundle& bundle, const Member& member) {
        if (stand != Stand::along && !follows(bundle, member)) set_side(lane, member, member.on(stand == Stand::above) ? 1.0 : -1.0);
    });
    each([&](Stand stand, const Bundle&, const Member& member) {
        if (stand == Stand::along) set_side(lane, member, 0.0);
    });
    std::vector<Surface> told;
    each([&](Stand stand, const Bundle& bundle, const Member& member) {
        const bool up = stand == Stand::above;
        if (stand == Stand::along || !follows(bundle, member) || lowest(bundle, member.surface.sample).above != up) return;
        set_side(lane, member, member.on(up) ? 1.0 : -1.0);
        told.push_back(member.surface);
    });
    for (const Surface& surface : told)
        for (std::size_t b = 0; b < meeting_.size(); ++b)
            if (problem_.stands[b] == Stand::along) remove(surface, meeting_[b]);
}

// Sets the bundles that meet to the stands, and to the gates, from which the network comes.
template <AnyLanes V>
void ActiveSet<V>::begin_decision(int lane, std::vector<double>& values) {
    for (std::size_t b = 0; b < meeting_.size(); ++b) {
        values[b] = std::clamp(meeting_[b].first, 0.0, 1.0);
        problem_.stands[b] = is_along(lane, meeting_[b]) ? Stand::along : values[b] > 0.5 ? Stand::above : Stand::below;
    }
}

// Finds how the network continues, and sets its gates accordingly.
template <AnyLanes V>
bool ActiveSet<V>::decide(int lane) {
    const std::size_t count = meeting_.size();
    std::vector<double> values(count);
    problem_.resize(int(count));
    begin_decision(lane, values);
    // Gates multiply one another only if surfaces of one sample meet. Else one round finds the answer, and another one confirms it.
    bool settled = false;
    for (int round = 0; round < 40 && !settled; ++round) {
        linearise(lane, base_[lane], meeting_, values);
        if (!problem_.solve()) break;
        settled = take_gates(values) <= 1.0;
    }
    // If they do, the stands are changed one by one, each time with the gates that belong to them.
    for (int round = 0; round < 20 + 10 * int(count) && !settled; ++round) {
        if (round == 0) begin_decision(lane, values);
        bool found = false;
        for (int turn = 0; turn < 12 && !found; ++turn) {
            linearise(lane, base_[lane], meeting_, values);
            if (!problem_.find_gates()) break;
            found = take_gates(values) <= 1.0;
        }
        if (!found) return false;
        settled = !problem_.change_worst();
    }
    if (!settled || is_torn(lane, values)) return false;
    // The velocity without the samples of the surfaces that meet; their part with the new gates is added below.
    base_[lane] = velocity_;
    find_samples(meeting_, 0, count);
    const std::vector<int> samples = samples_;
    for (const int sample : samples) for_each_side(lane, sample, meeting_, values, 1.0, [&](double share) { add_velocity(sample, -share, base_[lane]); });
    for (std::size_t b = 0; b < count; ++b) meeting_[b].first = meeting_[b].last = values[b];
    bundles_[lane].clear();
    put_gates(lane);
    for (std::size_t b = 0; b < count; ++b) {
        Bundle& bundle = meeting_[b];
        if (problem_.stands[b] != Stand::along || bundle.members.empty()) continue;
        bundle.first_pull = problem_.response(int(b), int(b)) / dot(normal(int(b)), normal(int(b)));
        bundles_[lane].push_back(bundle);
    }
    for (const int sample : samples) {
        load_gates(lane, sample);
        add_velocity(sample, 1.0, base_[lane]);
    }
    return true;
}

}  // namespace shoal
