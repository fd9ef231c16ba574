// The full gradient of one pack: L networks, all samples, in blocks of samples that stay in the cache from forward to backward pass. Each share of the samples
// (shares.hpp) has a gradient of its own; they are added in their order.
//
//   forward    h_l = phi(b_l + W_l h_{l-1}) for each layer, f = a_N (if centred, minus its value at initialisation)
//   residual   delta_N = -p_s y_s r(y_s f_s)    (K outputs: p_s (softmax - 1[k=y]); with targets t: -p_s (t_sk - o_sk))
//   backward   dW_l += delta_l^T h_{l-1},   delta_{l-1} = phi'(a_{l-1}) (delta_l W_l)
//
// Samples of weight 0 have blocks of their own, which only pass forward.
//
// With penalties (loss.hpp), delta_N += S p_s f_s, and at the end the gradient += L theta.
//
// If layers have scales, all passes read the effective weights s_l W_l in place of W_l. With scales or rates, the slope handed over is minus the velocity of
// the parameters, r_l (s_l dW_l + L W_l): the slope of the weights themselves, times the rate.
//
// After a homogeneous activation (phi(a) = phi'(a) a) a single output needs no backward pass of its own. With c_so = phi'(a_so) delta_s and Q = c^T h of the
// last hidden layer, dW = z Q and dz_o = sum_k W_ok Q_ok (with biases, one more k), and the input gradient uses z W in place of W. Behind a curved one it shares
// the walks over the values of that layer (gradient_head.hpp).
#pragma once

#include "shoal/kinks.hpp"
#include "shoal/loss.hpp"
#include "shoal/pack.hpp"
#include "shoal/shapes.hpp"
#include "shoal/shares.hpp"
#include "shoal/task.hpp"

namespace shoal {

template <AnyLanes V>
class Gradient {
  public:
    using T = typename V::Scalar;

    Gradient(const Network& network, const Task<T>& task, const Loss& loss, const Penalty& penalty = {}, const Tuning& tuning = Tuning::of_this_machine());

    // For centred networks, takes the outputs at `parameters` as those at initialisation, in lanes whose `fresh` is not 0. Returns false if `go_on()` does; the
    // rest is then left undone.
    template <class GoOn>
    bool centre(const Pack<V>& parameters, V fresh, GoOn&& go_on);

    // The output of a sample at the initialisation of one lane's network; 0 if networks are not centred.
    T at_start(int sample, int output, int lane) const {
        return network_.centred ? at_start_.at(std::int64_t(sample) * network_.outputs() + output)[lane] : T(0);
    }

    // Computes the gradient at `parameters` and calls `take(number, parameter, its slope)` once per parameter, which may then be changed. Calls `see(first
    // sample, samples, *this)` after each block's forward pass; if it returns false, the rest is left undone and the call returns false.
    template <class See, class Take>
    bool operator()(const Pack<V>& parameters, See&& see, Take& take) {
        const Pack<V>& effective = scale(parameters);
        prepare(effective);
        const bool whole = for_each_block([&](int first, int count, const BlockPlan& plan) {
            forward(effective, first, count, plan);
            if (network_.centred) subtract_start(first, count);
            if (!see(first, count, *this)) return false;
            if (first >= task_.learnt) return true;
            decouples_.empty() ? residuals<false>(first, count) : residuals<true>(first, count);
            const T* const inputs = below(0, first);
            const int pulling = pulling_inputs_.empty() || held_ ? count : gather_pulling(inputs, count);
            backward(effective, first, pulling, plan, pulling < count ? pulling_inputs_.data() : inputs);
            return true;
        });
        if (whole) hand_over(parameters, effective, take);
        return whole;
    }

    // The forward pass alone.
    template <class See>
    bool forward_only(const Pack<V>& parameters, See&& see) {
        const Pack<V>& effective = scale(parameters);
        return for_each_block([&](int first, int count, const BlockPlan& plan) {
            forward(effective, first, count, plan);
            if (network_.centred) subtract_start(first, count);
            for (int s = 0; s < count && first < task_.learnt; ++s) lost_ = gather_not_finite(lost_, witness(first, s));
            return bool(see(first, count, *this));
        });
    }

    // Says which lanes are trained, by bits that are all set there and none elsewhere; at first all. Samples that pull in no other lane may be left out.
    void train_in(V lanes) { trained_ = lanes; }

    // Holds all gates at these values, whatever the parameters say; nullptr: gates follow the parameters again.
    void hold(const HeldGates<V>* gates);

    // Computes the heights of the kinks at `parameters`, and their rates of change if the parameters move at `velocity`, both with the held gates.
    template <class GoOn>
    bool heights(const Pack<V>& parameters, const Pack<V>& velocity, Pack<V>& heights, Pack<V>& rates, GoOn&& go_on);

    // What `see` may read of a sample of the current block: the logits, and whether a hidden unit is active (1 or 0).
    V output(int sample, int number) const { return values_.back()[sample * rows_.back() + number]; }
    V active(int layer, int sample, int unit) const;
    // Finite if and only if the sample's outputs and its loss are; `first` is the first sample of the current block.
    V witness(int first, int sample) const;

    // After a whole pass: nonzero in the lanes in which an output, or the loss of a sample that is learnt, was not finite. Those networks have diverged.
    V lost() const { return lost_; }

    // Bytes that a pack reads and writes per step: parameters, their gradient, and a block's values.
    static std::int64_t working_set(const Network& network, int samples, const Tuning& tuning = Tuning::of_this_machine());

    // Whether the products run as a fixed shape of shapes.hpp.
    bool fixed() const { return shape_ >= 0; }

  private:
    V value(int layer, int sample, int unit) const { return values_[layer][sample * rows_[layer] + unit]; }
    // What is kept of the pre-activations of a hidden layer (activation.hpp): a itself, or h.
    Pack<V>& kept(int layer) { return kept_.empty() ? values_[layer] : kept_[layer]; }
    const Pack<V>& kept(int layer) const { return kept_.empty() ? values_[layer] : kept_[layer]; }
    // Where the gates of a hidden layer begin that the forward pass stored in place of h.
    T* gates(int layer, std::int64_t number) { return values_[layer].at(0) + number * gate_size<V>; }
    const T* gates(int layer, std::int64_t number) const { return values_[layer].at(0) + number * gate_size<V>; }
    bool holds_units() const { return held_ && held_->map.units; }
    bool gated() const { return network_.gated() && !holds_units(); }
    bool holds_gates(int layer) const { return network_.gates_last_hidden() && !holds_units() && layer == network_.hidden_layers() - 1; }
    template <class Do>
    bool for_each_block(Do&& act);
    const Pack<V>& scale(const Pack<V>& parameters);
    void prepare(const Pack<V>& parameters);
    void subtract_start(int first, int count);
    void forward(const Pack<V>& parameters, int first, int count, const BlockPlan& plan);
    void begin_output(const Pack<V>& parameters, int count, Product<T>& product);
    void activate_to_output(const Pack<V>& parameters, int count);
    void backward_from_output(const Pack<V>& parameters, int first, int count);
    template <bool decoupled>
    void residuals(int first, int count);
    template <class Kind, bool decoupled>
    void residuals_of(int first, int count);
    template <bool decoupled>
    void residuals_of_logits(int first, int count);
    template <bool decoupled>
    void residuals_of_targets(int first, int count);
    template <bool decoupled>
    void held_residuals(int first, int count);
    void pass_held_gates(int layer, int first, int count);
    void differentiate_held(int layer, int first, int count);
    Product<T> forward_product(int layer, int first, const T* matrix, const T* biases, T* to) const;
    void forward_with_rates(const Pack<V>& parameters, const Pack<V>& velocity, int layer, int first, const BlockPlan& plan);
    int gather_pulling(const T* inputs, int count);
    void add_biases(int layer, int first, int count);
    void end_share();
    void gate_last_hidden(int first, int count);
    void backward(const Pack<V>& parameters, int first, int count, const BlockPlan& plan, const T* inputs);
    template <class Take>
    void hand_over(const Pack<V>& parameters, const Pack<V>& effective, Take& taker);
    template <class Downhill, class Take>
    void hand_over_as(const Pack<V>& parameters, const Pack<V>& effective, const Downhill& downhill, Take& taker);

    // The values below a layer: the shared inputs, or the values of the layer before.
    const T* below(int layer, int first) const { return layer == 0 ? task_.inputs.data() + std::int64_t(first) * task_.dimension : values_[layer - 1].at(0); }
    std::int64_t below_row(int layer) const { return layer == 0 ? task_.dimension : rows_[layer - 1]; }

    const Network& network_;
    const Task<T>& task_;
    Loss loss_;
    T decay_;  // L
    bool homogeneous_;
    int shape_;  // index in the list of shapes.hpp, or -1
    int shares_;  // of the samples that are learnt (shares.hpp)
    Blocks large_, small_, rest_;  // of a share, of a share that has one sample less, and of the samples of weight 0
    int share_first_ = 0;  // the first sample of the current share
    V lost_ = 0;
    V trained_ = gate_where_less(V(0), V(1));
    std::vector<T> signs_, pulls_;  // y_s (1 with targets) and -p_s y_s
    std::vector<T> decouples_;  // S p_s; empty where S is 0
    std::vector<Pack<V>> values_;  // one per layer: h (or gates) after the forward pass, delta after the backward pass
    std::vector<Pack<V>> kept_;  // one per hidden layer: a, if the activation keeps pre-activations
    Pack<V> exponentials_;  // of one sample's logits, if there are several outputs
    std::vector<std::int64_t> rows_;  // distance between the rows of values_
    std::vector<T> pulling_inputs_;  // inputs of a block's samples with a residual other than 0; empty if no sample is ever left out
    Pack<V> slope_;  // the gradient of a share, at the end of all; for the last hidden layer Q, if the head is homogeneous
    Pack<V> total_;  // of the shares before, if there are several
    Pack<V> scaled_;  // z W of the last hidden layer
    std::vector<T> scales_;  // of each parameter; empty if all are 1
    std::vector<T> gains_, shrinks_;  // r s (biases: r) and r L of each parameter; empty if all scales and rates are 1
    Pack<V> effective_;  // s W, if there are scales
    Pack<V> at_start_;  // the outputs of centred networks at initialisation, samples x outputs
    const HeldGates<V>* held_ = nullptr;
    std::vector<Pack<V>> tangents_;  // one per layer: the rate of change of h
    Pack<V> effective_velocity_;  // used if there are scales
};

}  // namespace shoal

#include "shoal/gradient_head.hpp"
#include "shoal/gradient_held.hpp"
#include "shoal/gradient_impl.hpp"
#include "shoal/gradient_residuals.hpp"
