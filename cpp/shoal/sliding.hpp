// Where gradient flow slides. On a surface phi = 0 the gradient jumps: phi is the pre-activation of a (leaky) ReLU for one sample, or a sample's margin less the
// hinge's threshold. Where the flows of both sides push onto it, the network stays on it and moves by Filippov's rule: by the one velocity that is a mean of
// both and tangent to it. Of a gradient that is its orthogonal projection on the tangents of all surfaces on which the network slides, whichever side rounding
// chose to evaluate it on:
//
//   v = -grad - sum_i w_i n_i,  n_i = grad phi_i,  v n_i = 0
//
// It is the flow in which gate i (the unit's derivative; the hinge's residual) has the mean value G_i:
//
//   G_i = (D_i c_i - w_i) / c_i',  D_i the gate that rounding chose,  c_i and c_i' the signals from above that reach it with the gates D and with the gates G
//
// The network slides as long as every G_i lies within its gate's two values, and leaves on the open side where it rises beyond them, on the closed side where it
// falls below: v is continuous there. n_i is taken with the other sliding gates closed, so that -grad = (no sliding gate) + sum_i D_i c_i n_i.
//
// Where layers have rates, theta' = -R grad, the projection is that of the coordinates u = R^-1/2 theta, in which u' is minus the gradient: normals are taken there.
//
// Few networks of a pack slide at a time: all this is done for one network and one sample after another.
#pragma once

#include "shoal/cohort.hpp"
#include "shoal/gradient.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

namespace shoal {

// The kink of one unit for one sample; of the hinge where the layer is the output's. Of the active and unmet ones, sums of the tags tell sets apart: multiples of
// 2^-32 add up to the same number in any order.
inline double kink_tag(std::int64_t number) {
    std::uint64_t mixed = std::uint64_t(number) * 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return double((mixed >> 32) + 1) * 0x1p-32;
}

template <AnyLanes V>
class Sliding {
  public:
    using T = typename V::Scalar;
    static constexpr int L = V::count;

    // The tolerances are those that one step may spend.
    Sliding(const Run<T>& run, const Gradient<V>& gradient, double rtol, double atol);

    bool has_jumps() const { return capacity_ > 0; }
    bool slides(int lane) const { return !surfaces_[lane].empty(); }
    void forget(int lane) { surfaces_[lane].clear(); }

    // Notes on which side rounding put the surfaces of a block.
    void see(int first, int count, const Gradient<V>& pass);
    // The sum of tags without those of the surfaces on which each lane slides.
    V without(V pattern) const;
    // Makes the lane's slope, as gone through by `see`, the velocity along its surfaces, and finds the gates if asked.
    void follow(int lane, const Pack<V>& at, Pack<V>& slope, bool gates);
    // What part of a step of length h to take, so that no gate goes beyond its values for long enough to matter.
    double part(int lane, double h) const;
    // The step was taken: its last gates are the next one's first.
    void advance(int lane);
    // Whether each surface still attracts. Where a unit's signal changes its sign, the flow may go on along the kink or leave it on either side: what it does is
    // not determined.
    bool attracts(int lane) const;
    // Adds the surfaces that the lane's step crossed and behind which it is pushed back; whether there are any. False in `room` where there are too many.
    bool enter(int lane, const Pack<V>& before, const Pack<V>& after, const Pack<V>& slope, bool& room);
    // Leaves the surface whose gate is farthest beyond its values, on the right side; whether there is one.
    bool release(int lane, Pack<V>& theta);
    // How long until the first surface ahead, at this velocity.
    double time_to_kink(int lane, const Pack<V>& theta, const Pack<V>& slope);
    // Back onto the surfaces, from which steps stray within the tolerance.
    void put_back(int lane, Pack<V>& theta);

  private:
    using One = Lanes<T, 1>;

    struct Surface {
        int sample, layer, unit;
        bool open;  // the side on which rounding put it
        double first, last;  // its gate where the step begins and where it ends
        double pull;  // c'
        double reach;  // the largest entry of its normal, in tolerances

        bool operator<(const Surface& other) const {
            return std::tie(sample, other.layer, unit) < std::tie(other.sample, layer, other.unit);  // from the output down
        }
    };

    // A normal made orthogonal to those before it; the numbers outside begin..end are 0.
    struct Row {
        int begin, end;
    };

    bool is_hinge(int layer) const { return layer == run_.network.hidden_layers(); }
    double closed(int layer) const { return run_.network.activation == Activation::leaky_relu && !is_hinge(layer) ? run_.network.slope : 0.0; }
    bool has_jumps(int layer) const;
    std::int64_t number(int sample, int layer, int unit) const { return std::int64_t(sample) * (units_ + 1) + above_[layer] + unit; }
    T* row(int i) { return normals_.data() + std::int64_t(i) * run_.network.parameters; }
    T& overlap(int i, int j) { return overlaps_[std::int64_t(i) * capacity_ + j]; }

    void load(const Pack<V>& from, int lane);
    void set_gates(const std::vector<Surface>& surfaces, std::size_t first, double value);
    void forward(int sample, int layers);
    void forward_layer(int sample, int layer);
    double height(int sample, int layer, int unit) const;
    double size(int sample, int layer, int unit) const;
    double derivative(int layer, int unit) const;
    void pull_output(int sample, const double* residual);
    void pull_below(int layer);
    void write_normal(int i, int sample, int layer, int unit);
    double orthogonalise(int i);
    void find_basis(int lane);
    void find_gates(int lane);
    void find_gates_of_sample(std::vector<Surface>& surfaces, std::size_t begin, std::size_t end);

    const Run<T>& run_;
    const Gradient<V>& gradient_;  // knows the outputs at the start
    double rtol_, atol_;
    int units_, capacity_;
    std::vector<int> above_;  // units of the layers before
    std::vector<Surface> surfaces_[L];  // by sample, and from the output down
    std::vector<Surface> crossed_;
    std::vector<T> scales_, roots_;  // of each parameter: its scale, and the root of its rate
    std::vector<T> theta_, other_;  // one network's effective parameters
    int lane_ = 0;  // which
    std::vector<std::vector<T>> values_;  // of one sample: h of each layer, the output's too
    std::vector<std::vector<T>> rates_;  // of one sample: how fast its values change
    std::vector<std::vector<T>> pulls_;  // of one sample: -dL/dh on the way down, then -dL/da
    std::vector<std::vector<T>> gates_;  // of one sample: of its sliding units, NaN of the others
    std::vector<char> was_;  // of one sample: active units and unmet hinge before the step
    std::vector<T> normals_, overlaps_;  // n_i = sum_j overlap_ij q_j with orthonormal rows q, in the coordinates u
    std::vector<Row> rows_;
    std::vector<T> along_;  // t, then w: v = -grad - sum_j t_j q_j
};

}  // namespace shoal

#include "shoal/sliding_events.hpp"
#include "shoal/sliding_impl.hpp"
