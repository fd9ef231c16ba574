// One full gradient of one pack: L networks, all samples, in blocks of samples that stay in the cache from forward to backward.
//
//   forward    h_l = phi(b_l + W_l h_{l-1})                                  for each layer, f = a_N (less f at the start)
//   residual   delta_N = -p_s y_s r(y_s f_s)    (K outputs: p_s (softmax - 1[k=y]))
//   backward   dW_l += delta_l^T h_{l-1},   delta_{l-1} = phi'(a_{l-1}) (delta_l W_l)
//
// Samples of weight 0 are seen, in blocks of their own, and go no further than their forward pass.
//
// With penalties (loss.hpp) delta_N += S p_s f_s, and at the end the gradient += L theta.
//
// Where layers have scales, all passes read the effective weights s_l W_l in place of W_l, and with scales or rates the slope that is handed over is that of
// the weights themselves times the rate, minus their velocity: r_l (s_l dW_l + L W_l).
//
// Behind a homogeneous activation (phi(a) = phi'(a) a) a single output needs no backward pass of its own: with c_so = phi'(a_so) delta_s and Q = c^T h of
// the last hidden layer, dW = z Q and dz_o = sum_k W_ok Q_ok (biases: one more k), and the input gradient uses z W in place of W.
#pragma once

#include "shoal/kinks.hpp"
#include "shoal/loss.hpp"
#include "shoal/pack.hpp"
#include "shoal/shapes.hpp"
#include "shoal/task.hpp"

namespace shoal {

template <AnyLanes V>
class Gradient {
  public:
    using T = typename V::Scalar;

    Gradient(const Network& network, const Task<T>& task, const Loss& loss, const Penalty& penalty = {}, const Tuning& tuning = Tuning::of_this_machine());

    // Takes the outputs at `parameters` for those at the start, in the lanes where `fresh` is not 0 of networks that are centred. False when `go_on()` says
    // that the rest be left undone.
    template <class GoOn>
    bool centre(const Pack<V>& parameters, V fresh, GoOn&& go_on);

    // The output of a sample at the start of one lane's network, 0 where the network is not centred.
    T at_start(int sample, int output, int lane) const {
        return network_.centred ? at_start_.at(std::int64_t(sample) * network_.outputs() + output)[lane] : T(0);
    }

    // Hands the gradient at `parameters` to `take(number, parameter, its slope)`, once for each parameter, which may then be changed. `see(first sample,
    // samples, *this)` is called after each block's forward pass; when it returns false the rest is left undone and the call returns false.
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

    // From here on all gates are these, whatever the parameters say; nullptr: as the parameters say.
    void hold(const HeldGates<V>* gates);

    // The heights of the kinks at `parameters`, and how fast they change where the parameters move at `velocity`, both by the held gates.
    template <class GoOn>
    bool heights(const Pack<V>& parameters, const Pack<V>& velocity, Pack<V>& heights, Pack<V>& rates, GoOn&& go_on);

    // What `see` may look at, for a sample of the current block: the logits, and whether a hidden unit is active (1 or 0).
    V output(int sample, int number) const { return values_.back()[sample * rows_.back() + number]; }
    V active(int layer, int sample, int unit) const;
    // A number that is finite exactly where the sample's outputs and its loss are; `first` is the first sample of the current block.
    V witness(int first, int sample) const;

    // Behind a whole pass: not 0 in the lanes in which the loss of a sample that is learnt, or an output, was not finite. Those networks have diverged.
    V lost() const { return lost_; }

    // Bytes that one pack walks through in a step: parameters, their gradient, and a block's values.
    static std::int64_t working_set(const Network& network, int samples, const Tuning& tuning = Tuning::of_this_machine());

    // Whether the products are those of a shape that the compiler knows.
    bool fixed() const { return shape_ >= 0; }

  private:
    V value(int layer, int sample, int unit) const { return values_[layer][sample * rows_[layer] + unit]; }
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
    template <bool decoupled>
    void residuals(int first, int count);
    template <class Kind, bool decoupled>
    void residuals_of(int first, int count);
    template <bool decoupled>
    void residuals_of_logits(int first, int count);
    template <bool decoupled>
    void held_residuals(int first, int count);
    void pass_held_gates(int layer, int first, int count);
    void differentiate_held(int layer, int first, int count);
    Product<T> forward_product(int layer, int first, const T* matrix, const T* biases, T* to) const;
    void forward_with_rates(const Pack<V>& parameters, const Pack<V>& velocity, int layer, int first, const BlockPlan& plan);
    int gather_pulling(const T* inputs, int count);
    void add_biases(int layer, int first, int count);
    void gate_last_hidden(int first, int count);
    void backward(const Pack<V>& parameters, int first, int count, const BlockPlan& plan, const T* inputs);
    template <class Take>
    void hand_over(const Pack<V>& parameters, const Pack<V>& effective, Take& taker);
    template <class Downhill, class Take>
    void hand_over_as(const Pack<V>& parameters, const Pack<V>& effective, const Downhill& downhill, Take& taker);

    // The values below a layer: shared inputs, or the layer before.
    const T* below(int layer, int first) const { return layer == 0 ? task_.inputs.data() + std::int64_t(first) * task_.dimension : values_[layer - 1].at(0); }
    std::int64_t below_row(int layer) const { return layer == 0 ? task_.dimension : rows_[layer - 1]; }

    const Network& network_;
    const Task<T>& task_;
    Loss loss_;
    T decay_;  // L
    bool homogeneous_;
    int shape_;  // in the list of shapes.hpp, or -1
    Blocks blocks_, rest_;  // of the samples that are learnt, and of the others behind them
    V lost_ = 0;
    std::vector<T> signs_, pulls_;  // y_s and -p_s y_s
    std::vector<T> decouples_;  // S p_s; empty where S is 0
    std::vector<Pack<V>> values_;  // one a layer: h (or gates) after the forward pass, delta after the backward pass
    Pack<V> exponentials_;  // of one sample's logits, where there are several
    std::vector<std::int64_t> rows_;  // how far apart their rows lie
    std::vector<T> pulling_inputs_;  // of a block's samples that pull; empty where none is left out
    Pack<V> slope_;  // the gradient; of the last hidden layer Q where the head is homogeneous
    Pack<V> scaled_;  // z W of the last hidden layer
    std::vector<T> scales_;  // of each parameter; empty where all are 1
    std::vector<T> gains_, shrinks_;  // r s (biases: r) and r L of each parameter; empty where all scales and rates are 1
    Pack<V> effective_;  // s W, where there are scales
    Pack<V> at_start_;  // the outputs of a centred network, samples x outputs
    const HeldGates<V>* held_ = nullptr;
    std::vector<Pack<V>> tangents_;  // one a layer: how fast h changes
    Pack<V> effective_velocity_;  // where there are scales
};

}  // namespace shoal

#include "shoal/gradient_held.hpp"
#include "shoal/gradient_impl.hpp"
