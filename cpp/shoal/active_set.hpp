// Tracks on which side of each kink (kinks.hpp) the networks of a pack are, and along which kinks they slide.
//
// On a surface the gradient jumps. If the flows of both sides push onto it, the network stays on it and moves by Filippov's rule: with the one mean of both
// velocities that is tangent to it. For a gradient this mean is its orthogonal projection onto the tangents of all surfaces along which the network slides. The
// projection does not depend on the gates with which the gradient is evaluated, because they change it along the surfaces' normals only:
//
//   u' = -dL/du - sum_b w_b n_b,   n_b u' = 0,   u = theta / sqrt(rate)
//
// A network slides along a surface as long as the mean's weight, which is the gate of the surface, is between 0 and 1; u' is continuous where it leaves.
//
// Terms:
//   gate        1 above a surface, KinkMap::closed below it; if the network slides along it, the mean's weight, in [0, 1]
//   bundle      surfaces with parallel normals, which are one surface, and their followers; up is above the first member, which names the bundle
//   to hear     a unit, or the hinge, hears of a sample if its height depends on it through open units of the layers below
//   deaf        a unit whose height no parameter changes, because all units below it are closed
//   follower    a unit that hears of its sample only through a unit of the bundle, and so has no surface of its own while that one is closed
//   crowded     a surface whose normal depends linearly on those of several others that meet in the same point
#pragma once

#include "shoal/complementarity.hpp"
#include "shoal/single.hpp"
#include "shoal/sink.hpp"

#include <limits>
#include <numeric>

namespace shoal {

template <AnyLanes V>
class ActiveSet {
  public:
    using T = typename V::Scalar;
    static constexpr int L = V::count;

    // The tolerances are the parts that one step may use.
    ActiveSet(const Run<T>& run, const Gradient<V>& gradient, double rtol, double atol);

    const KinkMap& map() const { return held.map; }
    HeldGates<V> held;
    Pack<V> sides;  // per kink: 1 above, -1 below; 0 if the network slides along it, or for a sample of weight 0

    bool slides(int lane) const { return !bundles_[lane].empty(); }
    void forget(int lane) { bundles_[lane].clear(), collapsed_[lane].clear(); }

    // Sets the gates of a lane by the heights. Call it before the velocity is computed, and `settle` after it.
    void begin(int lane, const Pack<V>& theta);

    // Replaces the lane's slope by the velocity along its surfaces, and finds their gates if asked.
    void follow(int lane, const Pack<V>& at, Pack<V>& slope, bool gates);
    // Returns the part of a step of length h to take, in (0, 1], so that no gate leaves [0, 1] for long enough to matter.
    double part(int lane, double h) const;
    // Returns the part of the step, in [0, 1], at which the first gate leaves [0, 1]; infinite if none does.
    double exit(int lane) const;
    // Whether a surface no longer holds the network, so that `settle` has to be called.
    bool lets_go(int lane) const;
    // Returns the part of the step at which a surface turns from pushing back to pushing away; infinite if none does. Beyond it the flow may leave on either
    // side, and is not determined.
    double turn(int lane) const;
    // Called after a step was taken: its last gates become the first gates of the next one.
    void advance(int lane);
    // Moves the network back onto the surfaces, from which steps stray within the tolerance.
    void put_back(int lane, Pack<V>& theta);

    // Whether the gradient only bends at a kink, as at a squared hinge.
    bool bends(std::int64_t number) const { return !map().jumps && number % map().per_sample == map().hinge; }
    // Whether a surface is so near to theta that a move onto it is within the tolerance.
    bool is_near(int lane, const Pack<V>& theta, std::int64_t number);
    // Whether a height of the lane at theta differs from 0 by more than rounding.
    bool is_beyond_rounding(int lane, const Pack<V>& theta, std::int64_t number, double height);

    // Whether the units that have lost their incoming weights remain without.
    bool rests(int lane, const Pack<V>& theta);

    // Decides for a network that has reached these surfaces: on which side of each it continues, or along which of them. Finds its velocity, given the velocity
    // with the gates so far. Returns false if that is not determined. `again`: a decision was just made here, and yet a surface is met, so speeds that were
    // taken for rounding are real.
    bool settle(int lane, Pack<V>& theta, Pack<V>& slope, const std::vector<std::int64_t>& hits, bool again);

  private:
    // A unit that hears of its sample through a lower unit of the bundle is a follower there. Its gate matters if that one is open; else the other bundles of
    // which it is a member set it.
    struct Member {
        Surface surface;
        bool above, below;  // whether it is open on the bundle's upper side; on its lower side
        bool on(bool up) const { return up ? above : below; }
    };

    struct Bundle {
        std::vector<Member> members;  // the first names it: above that one it is up
        double first = 0, last = 0;  // its gate, 1 up and 0 down, at both ends of the step; outside [0, 1] it lets the network go
        double first_pull = 0, pull = 0;  // at both ends: the rate at which the gate pulls along the normal; negative, because it pulls back
        double slack = 0;  // the accuracy to which the gate is known
        bool holds = true;  // whether it holds the network: a unit that nothing pulls at any more does not
        double reach = 0;  // the largest entry of its normal, in tolerances
    };

    // Rounding of a height, relative to the size of its terms.
    static constexpr double height_rounding = 64 * std::numeric_limits<double>::epsilon();

    double* row(int i) { return rows_.data() + std::int64_t(i) * parameters_; }
    double* normal(int i) { return normals_.data() + std::int64_t(i) * parameters_; }
    double dot(const double* a, const double* b) const;
    double norm(const double* a) const { return std::sqrt(dot(a, a)); }
    // How far rounding may move a height from 0: rounding of its terms, and of the parameters on which its normal, of this length, depends.
    double rounding(const Surface& surface, double length) const { return height_rounding * (single_.size(surface) + single_.length() * length); }
    double in_tolerances(int lane, const Pack<V>& theta, const double* direction) const;
    void load_gates(int lane, int sample);
    void run_forward(int lane, int sample);
    void make_tangent(int lane, Pack<V>& slope);
    void set_gates(int sample, const std::vector<Bundle>& bundles, const std::vector<double>& values);
    static bool is_layered(const Bundle& bundle, int sample);
    template <class Visit>
    void for_each_side(int lane, int sample, const std::vector<Bundle>& bundles, std::vector<double>& values, double share, Visit&& visit);
    void set_side(int lane, const Member& member, double side);
    double orthogonalise(int i);
    void find_normals(int lane, const std::vector<Bundle>& bundles);
    void add_velocity(int sample, double factor, std::vector<double>& to);
    void find_samples(const std::vector<Bundle>& bundles, std::size_t begin, std::size_t end);
    void linearise(int lane, const std::vector<double>& held_velocity, const std::vector<Bundle>& bundles, std::vector<double>& values);
    void move_onto(int lane, Pack<V>& theta, int count);
    bool same(const Surface& a, const Surface& b) const { return map().number(a) == map().number(b); }
    bool jumps(const Surface& surface) const { return map().jumps || !map().is_hinge(surface.layer); }
    bool is_along(int lane, const Bundle& bundle) { return sides.lane(map().number(bundle.members.front().surface), lane) == 0; }
    bool hears(const Bundle& above, const Bundle& below) const;
    bool is_member(const Surface& surface) const;
    bool is_among_others(const Surface& surface, const std::vector<int>& samples) const;
    void find_way_off(int b, double sign);
    static const Member& lowest(const Bundle& bundle, int sample);
    bool follows(const Bundle& bundle, const Member& member) const;
    bool follows_in_one(const Surface& surface) const;
    bool is_torn(int lane, const std::vector<double>& values);
    bool hears_of_meeting(const Surface& surface) const;
    void let_follow(int lane);
    void remove(const Surface& surface, Bundle& bundle) const;
    double input_length(int sample) const;
    bool meet(int lane, Pack<V>& theta, const Pack<V>& slope, const std::vector<std::int64_t>& hits);
    bool is_met(const Surface& surface);
    bool is_deaf(const Surface& surface);
    bool add_surface(int lane, const Surface& surface, bool joins);
    bool find_coincident(int lane);
    bool add_touched(int lane, std::size_t b);
    bool is_moved(const Surface& surface, double rate) const;
    void add_followers(int lane, std::size_t b);
    bool has_too_many_sides();
    void put_gates(int lane);
    void begin_decision(int lane, std::vector<double>& values);
    bool decide(int lane);
    double take_gates(std::vector<double>& values) const;
    void step_aside(int lane, Pack<V>& theta);
    void dissolve_deaf(int lane);
    void add_all_velocities(int lane, double factor);
    bool is_sink(int lane, int layer, int unit);
    bool is_lost(int lane, const Surface& surface);
    bool collapse(int lane, Pack<V>& theta, const Surface& surface);

    const Run<T>& run_;
    Single<V> single_;
    double rtol_, atol_;
    int parameters_, capacity_;
    std::vector<Bundle> bundles_[L], meeting_;
    std::vector<Surface> collapsed_[L];  // one surface, whichever, of each unit without incoming weights
    std::vector<Surface> crowded_;  // surfaces that are met and depend on several others
    std::vector<Surface> followers_;  // like these, but their units hear of the others
    std::vector<double> heard_, pulls_;
    Sink sink_;
    std::vector<double> raw_[L], base_[L];  // du/dt with the held gates, not yet tangent: at the end of the attempt, and at its beginning
    std::vector<double> gates_;  // of one sample
    std::vector<double> normals_, rows_, overlaps_;  // n_i = sum_j overlap_ij row_j with orthonormal rows
    std::vector<double> along_, values_, velocity_, jump_;
    std::vector<int> samples_;
    Complementarity problem_;
    bool deciding_ = false;  // whether problem_ has the stands of the bundles
    double noise_ = 1e-12;  // relative, of velocities
};

}  // namespace shoal

#include "shoal/active_set_events.hpp"
#include "shoal/active_set_impl.hpp"
