// Rules by which descent ends a network before its last step. They are checked in the forward pass of each step, so they do not depend on what is recorded.
// Samples of weight 0, which are measured and not learnt, do not count. A network whose loss is not finite has diverged and meets no rule.
//
//   fitted      y f > 0 on every sample (K outputs: the output of its label is the largest)
//   satisfied   y f >= h on every sample: no hinge is left
//   dead        in some hidden layer no unit is active on any sample
#pragma once

#include "shoal/gradient.hpp"
#include "shoal/record.hpp"

namespace shoal {

struct StopRules {
    bool fitted = false, satisfied = false, dead = false;
    bool any() const { return fitted || satisfied || dead; }
};

// Call `clear`, then `see` for each block of a forward pass, then `status` for each lane.
template <AnyLanes V>
class Stops {
  public:
    using T = typename V::Scalar;

    Stops(const Network& network, const Task<T>& task, const Loss& loss, const StopRules& rules)
        : network_(network), task_(task), threshold_(T(loss.threshold)), rules_(rules), active_(network.hidden_layers()) {}

    void clear() {
        unfitted_ = unmet_ = lost_ = V(0);
        active_.clear();
    }

    void see(int first, int count, const Gradient<V>& pass) {
        for (int s = 0; s < count && first + s < task_.learnt; ++s) {
            lost_ = gather_not_finite(lost_, pass.witness(first, s));
            if (rules_.fitted || rules_.satisfied) see_margin(margin(first + s, s, pass));
            if (rules_.dead) see_units(s, pass);
        }
    }

    // The rule that the lane's network meets; the first of them if it meets several.
    Status status(int lane) const {
        if (lane_of(lost_, lane) != 0) return Status::ok;
        if (rules_.fitted && lane_of(unfitted_, lane) == 0) return Status::fitted;
        if (rules_.satisfied && lane_of(unmet_, lane) == 0) return Status::satisfied;
        for (int l = 0; rules_.dead && l < network_.hidden_layers(); ++l)
            if (!(lane_of(active_[l], lane) > 0)) return Status::dead;
        return Status::ok;
    }

  private:
    V margin(int sample, int row, const Gradient<V>& pass) const {
        const int own = int(task_.labels[sample]);
        if (network_.outputs() == 1) return V(T(own)) * pass.output(row, 0);
        return pass.output(row, own) - largest_other(network_.outputs(), own, [&](int k) { return pass.output(row, k); });
    }

    void see_margin(V m) {
        const V zero = 0, one = 1;
        unfitted_ = unfitted_ + where_less(zero, m, zero, one);
        unmet_ = unmet_ + where_less(m, V(threshold_), one, zero);
    }

    void see_units(int row, const Gradient<V>& pass) {
        for (int l = 0; l < network_.hidden_layers(); ++l) {
            V largest = active_[l];
            for (int o = 0; o < network_.layers[l].outputs; ++o) largest = max(largest, pass.active(l, row, o));
            largest.store(active_.at(l));
        }
    }

    static T lane_of(V value, int lane) {
        alignas(64) T numbers[V::count];
        value.store(numbers);
        return numbers[lane];
    }

    const Network& network_;
    const Task<T>& task_;
    T threshold_;
    StopRules rules_;
    V unfitted_, unmet_;  // number of samples that are unfitted, unmet
    V lost_;              // not 0 if some loss is not finite
    Pack<V> active_;      // per hidden layer, whether some unit is active
};

}  // namespace shoal
