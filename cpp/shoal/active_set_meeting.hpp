// Parts of ActiveSet: which surfaces meet where a network has reached one, and what follows each of them.
#pragma once

#include "shoal/active_set.hpp"

namespace shoal {

// Adds a surface on which the network is to those that meet there: as a bundle of its own, or as a member of the bundle to which it is parallel. A surface that
// depends on several of them is a follower if it hears of them, else crowded. `joins`: it is added only if it is parallel to one. Returns false if there are
// too many.
template <AnyLanes V>
bool ActiveSet<V>::add_surface(int lane, const Surface& surface, bool joins) {
    const int own = int(meeting_.size());
    if (own >= capacity_) return false;
    run_forward(lane, surface.sample);
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
    if (orthogonalise(own) == 0) {
        (hears_of_meeting(surface) ? followers_ : crowded_).push_back(surface);
        return true;
    }
    Bundle bundle;
    bundle.members.push_back({surface, true, false});
    bundle.first = bundle.last = sides.lane(map().number(surface), lane) > 0 ? 1.0 : 0.0;
    meeting_.push_back(bundle);
    return true;
}

// Whether a unit hears of its sample through units whose surfaces meet here; if so, it follows them.
template <AnyLanes V>
bool ActiveSet<V>::hears_of_meeting(const Surface& surface) const {
    if (map().is_hinge(surface.layer)) return false;
    for (const Bundle& bundle : meeting_)
        for (const Member& member : bundle.members)
            if (member.surface.sample == surface.sample && member.surface.layer < surface.layer) return true;
    return false;
}

// Whether a unit of one bundle, or its hinge, hears of its sample through a unit of another.
template <AnyLanes V>
bool ActiveSet<V>::hears(const Bundle& above, const Bundle& below) const {
    return std::any_of(above.members.begin(), above.members.end(), [&](const Member& unit) {
        return std::any_of(below.members.begin(), below.members.end(), [&](const Member& other) {
            return jumps(unit.surface) && other.surface.sample == unit.surface.sample && other.surface.layer < unit.surface.layer;
        });
    });
}

template <AnyLanes V>
bool ActiveSet<V>::is_member(const Surface& surface) const {
    for (const auto* others : {&crowded_, &followers_})
        for (const Surface& other : *others)
            if (same(other, surface)) return true;
    for (const Bundle& bundle : meeting_)
        for (const Member& member : bundle.members)
            if (same(member.surface, surface)) return true;
    return false;
}

// The length of a sample's input, the scale of its normals.
template <AnyLanes V>
double ActiveSet<V>::input_length(int sample) const {
    const T* const x = run_.task.inputs.data() + std::int64_t(sample) * run_.task.dimension;
    return std::sqrt(std::inner_product(x, x + run_.task.dimension, x, 0.0));
}

// Whether a height is 0 within the rounding of its terms and of the parameters. Writes its normal after the known ones.
template <AnyLanes V>
bool ActiveSet<V>::is_met(const Surface& surface) {
    double* const n = normal(int(meeting_.size()));
    single_.normal(surface, gates_.data(), n);
    return std::abs(single_.height(surface)) <= rounding(surface, norm(n));
}

// Whether no parameter changes the height whose normal was written last, because the units below it are all closed.
template <AnyLanes V>
bool ActiveSet<V>::is_deaf(const Surface& surface) {
    const double* const n = normal(int(meeting_.size()));
    return surface.layer > 0 && !map().is_hinge(surface.layer) && norm(n) <= 1e-12 * input_length(surface.sample);
}

// Whether a surface belongs to a bundle that also has surfaces of samples other than these; the bundle then remains without it.
template <AnyLanes V>
bool ActiveSet<V>::is_among_others(const Surface& surface, const std::vector<int>& samples) const {
    const auto is_other = [&](const Member& member) { return !std::binary_search(samples.begin(), samples.end(), member.surface.sample); };
    for (const Bundle& bundle : meeting_)
        if (std::any_of(bundle.members.begin(), bundle.members.end(), [&](const Member& member) { return same(member.surface, surface); }))
            return std::any_of(bundle.members.begin(), bundle.members.end(), is_other);
    return false;
}

// Removes a surface from a bundle whose gate it no longer follows.
template <AnyLanes V>
void ActiveSet<V>::remove(const Surface& surface, Bundle& bundle) const {
    auto& members = bundle.members;
    std::erase_if(members, [&](const Member& member) { return same(member.surface, surface); });
    if (members.empty() || members.front().above) return;
    // Another member now names the bundle; its upper side is the bundle's lower one.
    for (Member& member : members) std::swap(member.above, member.below);
    bundle.first = 1 - bundle.first, bundle.last = 1 - bundle.last;
}

// Adds all other surfaces on which the network is and through which velocity_ moves it, and those that are parallel to one that it has reached.
template <AnyLanes V>
bool ActiveSet<V>::find_coincident(int lane) {
    for (int sample = 0; sample < run_.task.samples; ++sample) {
        run_forward(lane, sample);
        for (int place = 0; place < map().per_sample; ++place) {
            const std::int64_t number = std::int64_t(sample) * map().per_sample + place;
            if (sides.lane(number, lane) == 0) continue;
            const Surface surface = map().surface(number);
            // Far from 0, whatever the normal.
            if (std::abs(single_.height(surface)) > 1e-9 * (single_.size(surface) + single_.length())) continue;
            if (is_member(surface) || !is_met(surface) || is_deaf(surface)) continue;
            // A height of 0 through which nothing moves the network stays 0: for example that of a unit without weights, or of one orthogonal to the sample
            // since initialisation.
            const double* const n = normal(int(meeting_.size()));
            const double speed = sides.lane(number, lane) * dot(n, velocity_.data());
            const bool falls = speed < -1e-13 * std::sqrt(dot(n, n) * dot(velocity_.data(), velocity_.data()));
            if (!add_surface(lane, surface, !falls)) return false;
        }
    }
    return true;
}

// Writes into jump_ the direction in which the height of a bundle changes and those of the others do not.
template <AnyLanes V>
void ActiveSet<V>::find_way_off(int b, double sign) {
    std::fill(jump_.begin(), jump_.end(), 0.0);
    const int count = int(meeting_.size());
    along_.assign(along_.size(), 0.0);
    for (int i = b; i < count; ++i) {
        const double* const overlap = overlaps_.data() + std::int64_t(i) * (capacity_ + 1);
        double left = i == b ? sign : 0.0;
        for (int j = b; j < i; ++j) left -= overlap[j] * along_[j];
        along_[i] = overlap[i] == 0 ? 0.0 : left / overlap[i];
        for (int n = 0; n < parameters_; ++n) jump_[n] += along_[i] * row(i)[n];
    }
    const double length = norm(jump_.data());
    for (double& entry : jump_) entry /= length;
}

// The unit of the lowest layer of a sample in a bundle; units above it hear of the sample through it.
template <AnyLanes V>
auto ActiveSet<V>::lowest(const Bundle& bundle, int sample) -> const Member& {
    const auto layer = [&](const Member& member) { return member.surface.sample == sample ? member.surface.layer : std::numeric_limits<int>::max(); };
    return *std::min_element(bundle.members.begin(), bundle.members.end(), [&](const Member& a, const Member& b) { return layer(a) < layer(b); });
}

template <AnyLanes V>
bool ActiveSet<V>::follows(const Bundle& bundle, const Member& member) const {
    const Surface& surface = member.surface;
    return map().closed_unit == 0 && jumps(surface) && lowest(bundle, surface.sample).surface.layer < surface.layer;
}

// Whether a surface is a follower in the first bundle that has it as a member.
template <AnyLanes V>
bool ActiveSet<V>::follows_in_one(const Surface& surface) const {
    for (const Bundle& bundle : meeting_)
        for (const Member& member : bundle.members)
            if (same(member.surface, surface)) return follows(bundle, member);
    return false;
}

// Whether one bundle opens a unit and another closes it, and it is not known which is right. That is so if the network slides along both; or if it leaves both
// and the unit's height does not move as the bundle says that it follows. `values` are the bundles' gates for which velocity_ was computed.
template <AnyLanes V>
bool ActiveSet<V>::is_torn(int lane, const std::vector<double>& values) {
    struct Told {
        bool follower, there, leaves, opens;
    };
    const auto told = [&](std::size_t b, const Member& member) -> Told {
        const Stand stand = problem_.stands[b];
        const bool leaves = stand != Stand::along, above = stand == Stand::above;
        if (!follows(meeting_[b], member)) return {false, leaves, leaves, member.on(above)};
        const bool up = lowest(meeting_[b], member.surface.sample).above;
        return {true, !leaves || above == up, leaves, member.on(up)};
    };
    const auto moves = [&](const Surface& surface, bool opens) {
        bool as_told = false;
        load_gates(lane, surface.sample);
        set_gates(surface.sample, meeting_, values);
        single_.forward(surface.sample, gates_.data());
        single_.rates(surface.sample, gates_.data(), velocity_.data(), [&](int layer, int unit, double rate) {
            if (layer == surface.layer && unit == surface.unit) as_told = (rate > 0) == opens;
        });
        return as_told;
    };
    for (std::size_t b = 0; b < meeting_.size(); ++b)
        for (const Member& member : meeting_[b].members)
            for (std::size_t c = 0; c < b; ++c)
                for (const Member& other : meeting_[c].members) {
                    if (!same(other.surface, member.surface)) continue;
                    const Told one = told(b, member), two = told(c, other);
                    if (!one.there || !two.there || one.leaves != two.leaves || one.opens == two.opens) continue;
                    if (!one.leaves || !moves(member.surface, one.follower ? one.opens : two.opens)) return true;
                }
    return false;
}

// Whether a height of the sample that was run forward is 0, and its rate is not, both within rounding.
template <AnyLanes V>
bool ActiveSet<V>::is_moved(const Surface& surface, double rate) const {
    const double length = input_length(surface.sample);
    return jumps(surface) && std::abs(rate) > 1e-7 * (single_.length() * length) && std::abs(single_.height(surface)) <= rounding(surface, length);
}

// Adds the surfaces on which the network rests and from which only the units of a bundle can move it: those of units, and of a hinge, that also hear of others.
template <AnyLanes V>
bool ActiveSet<V>::add_touched(int lane, std::size_t b) {
    std::vector<Surface> touched;
    const std::vector<Member> members = meeting_[b].members;
    for (const Member& member : members) {
        const int sample = member.surface.sample;
        if (map().is_hinge(member.surface.layer) || !same(lowest(meeting_[b], sample).surface, member.surface)) continue;
        values_.clear();
        for (const Bundle& bundle : meeting_) values_.push_back(std::clamp(bundle.first, 0.0, 1.0));
        values_[b] = member.above;
        load_gates(lane, sample);
        set_gates(sample, meeting_, values_);
        single_.forward(sample, gates_.data());
        find_way_off(int(b), member.above ? 1.0 : -1.0);
        touched.clear();
        single_.rates(sample, gates_.data(), jump_.data(), [&](int layer, int unit, double rate) {
            const Surface surface{sample, layer, unit};
            if (layer > member.surface.layer && is_moved(surface, rate) && !is_member(surface)) touched.push_back(surface);
        });
        for (const Surface& surface : touched) {
            values_[b] = !member.above;
            load_gates(lane, sample);
            set_gates(sample, meeting_, values_);
            single_.forward(sample, gates_.data());
            single_.normal(surface, gates_.data(), normal(int(meeting_.size())));
            if (is_deaf(surface)) continue;
            if (!add_surface(lane, surface, false)) return false;
            values_.push_back(0.0);
        }
    }
    return true;
}

// Adds to a bundle the units, and the hinge, that hear of a sample only through a unit of the bundle and so switch with it. They are open on a side if their
// heights grow away from the surface there.
template <AnyLanes V>
void ActiveSet<V>::add_followers(int lane, std::size_t b) {
    samples_.clear();
    for (const Member& member : meeting_[b].members)
        if (!map().is_hinge(member.surface.layer)) samples_.push_back(member.surface.sample);
    std::sort(samples_.begin(), samples_.end());
    samples_.erase(std::unique(samples_.begin(), samples_.end()), samples_.end());
    values_.assign(meeting_.size(), 0.0);
    for (const int sample : samples_) {
        const std::size_t before = meeting_[b].members.size();
        const int own_layer = lowest(meeting_[b], sample).surface.layer;
        for (const bool up : {true, false}) {
            load_gates(lane, sample);
            for (std::size_t c = 0; c < meeting_.size(); ++c) values_[c] = std::clamp(meeting_[c].first, 0.0, 1.0);
            values_[b] = up;
            set_gates(sample, meeting_, values_);
            single_.forward(sample, gates_.data());
            find_way_off(int(b), up ? 1.0 : -1.0);
            single_.rates(sample, gates_.data(), jump_.data(), [&](int layer, int unit, double rate) {
                const Surface surface{sample, layer, unit};
                if (layer <= own_layer || !is_moved(surface, rate)) return;
                auto& members = meeting_[b].members;
                auto own =
                    std::find_if(members.begin() + std::ptrdiff_t(before), members.end(), [&](const Member& member) { return same(member.surface, surface); });
                if (own == members.end()) {
                    if (is_member(surface) && !follows_in_one(surface) && !is_among_others(surface, samples_))
                        return;  // its surface has a bend, along which it may continue
                    if (std::any_of(members.begin(), members.begin() + std::ptrdiff_t(before),
                                    [&](const Member& member) { return same(member.surface, surface); }))
                        return;
                    own = members.insert(members.end(), {surface, false, false});
                }
                (up ? own->above : own->below) = rate > 0;
                gates_[map().place(layer, unit)] = rate > 0 ? 1.0 : map().closed(layer);
            });
        }
    }
}

// Whether so many bundles switch units of several layers of one sample that `for_each_side` would visit more than 2^most combinations of sides.
template <AnyLanes V>
bool ActiveSet<V>::has_too_many_sides() {
    constexpr int most = 8;
    std::vector<int> layered(run_.task.samples);
    for (std::size_t b = 0; b < meeting_.size(); ++b) {
        find_samples(meeting_, b, b + 1);
        for (const int sample : samples_)
            if (is_layered(meeting_[b], sample) && ++layered[sample] > most) return true;
    }
    return false;
}

}  // namespace shoal
