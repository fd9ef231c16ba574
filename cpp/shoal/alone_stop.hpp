// The rules of stop.hpp for one network that trains alone. Its margins follow from the outputs that are kept; shares note which layers have an active unit.
//
// A sample that rests (alone_slack.hpp) keeps the output with which it met its hinge: its margin was above the threshold, which is positive, and still is. So
// it counts as fitted and satisfied, as if it had been seen. Which units it activates is not known: with `dead` no sample rests.
#pragma once

#include "shoal/alone_passes.hpp"
#include "shoal/stop.hpp"

namespace shoal::alone {

template <class T>
class Stops {
  public:
    Stops(const Run<T>& run, const StopRules& rules, int shares)
        : run_(run), rules_(rules), layers_(run.network.hidden_layers()), lives_(std::size_t(shares) * layers_) {}

    bool any() const { return rules_.any(); }
    bool looks_at_units() const { return rules_.dead; }

    // Begins a share. Call `see` for each of its blocks after their forward pass. Threads take shares as they come.
    void begin(int share) { std::fill_n(lives_.begin() + std::ptrdiff_t(share) * layers_, layers_, false); }
    void see(int share, const Block& block, const Passes<T>& passes) {
        for (int l = 0; rules_.dead && l < layers_; ++l) {
            char& lives = lives_[std::size_t(share) * layers_ + l];
            lives = lives || passes.some_active(l, block);
        }
    }

    // The first rule that the network meets, once all shares have been seen.
    Status status(const Samples<T>& samples) const {
        bool fitted = rules_.fitted, satisfied = rules_.satisfied;
        for (int s = 0; s < run_.task.learnt && (fitted || satisfied); ++s) {
            const T m = margin(samples, s);
            fitted = fitted && m > 0;
            satisfied = satisfied && m >= T(run_.loss.threshold);
        }
        if (fitted) return Status::fitted;
        if (satisfied) return Status::satisfied;
        for (int l = 0; rules_.dead && l < layers_; ++l)
            if (!lives(l)) return Status::dead;
        return Status::ok;
    }

  private:
    T margin(const Samples<T>& samples, int sample) const {
        const int outputs = run_.network.outputs(), own = int(run_.task.labels[sample]);
        const T* const o = samples.outputs.data() + std::int64_t(sample) * outputs;
        if (outputs == 1) return samples.signs[sample] * o[0];
        return o[own] - largest_other(outputs, own, [o](int k) { return o[k]; });
    }

    bool lives(int layer) const {
        bool some = false;
        for (std::size_t n = std::size_t(layer); n < lives_.size(); n += layers_) some |= bool(lives_[n]);
        return some;
    }

    const Run<T>& run_;
    StopRules rules_;
    int layers_;
    std::vector<char> lives_;  // per share and hidden layer: whether some unit is active on some sample
};

}  // namespace shoal::alone
