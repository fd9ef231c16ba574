// One full gradient of one pack: L networks, all samples, in blocks of samples that stay in the L1 cache from forward to backward.
//
//   forward    h_l = phi(b_l + W_l h_{l-1})                                  for each layer, f = a_N
//   residual   delta_N = -p_s y_s r(y_s f_s)    (K outputs: p_s (softmax - 1[k=y]))
//   backward   dW_l += delta_l^T h_{l-1},   delta_{l-1} = phi'(a_{l-1}) (delta_l W_l)
//
// Behind a homogeneous activation (phi(a) = phi'(a) a) a single output needs no backward pass of its own: with c_so = phi'(a_so) delta_s and Q = c^T h of
// the last hidden layer, dW = z Q and dz_o = sum_k W_ok Q_ok (biases: one more k), and the input gradient uses z W in place of W.
#pragma once

#include "shoal/loss.hpp"
#include "shoal/network.hpp"
#include "shoal/task.hpp"
#include "shoal/tiles.hpp"

#include <algorithm>
#include <vector>

namespace shoal {

// Numbers for L networks side by side, aligned for whole-register loads.
template <class T>
class Pack {
  public:
    static constexpr int L = Lanes<T>::count;
    explicit Pack(std::int64_t numbers = 0) : storage_(numbers * L, T(0)) {}
    T* at(std::int64_t number) { return storage_.data() + number * L; }
    const T* at(std::int64_t number) const { return storage_.data() + number * L; }
    T& lane(std::int64_t number, int lane) { return storage_[number * L + lane]; }
    Lanes<T> operator[](std::int64_t number) const { return Lanes<T>::load(at(number)); }

  private:
    std::vector<T, Eigen::aligned_allocator<T>> storage_;
};

// The plans of one layer's three products for one block size.
struct LayerPlan {
    Plan forward, weights, inputs;
};

struct BlockPlan {
    std::vector<LayerPlan> layers;
    double cycles = 0.0;

    BlockPlan(const Network& network, int samples) {
        for (const Layer& layer : network.layers) {
            layers.push_back({Plan::of(samples, layer.outputs, layer.inputs), Plan::of(layer.outputs, layer.inputs, samples),
                              Plan::of(samples, layer.inputs, layer.outputs)});
            cycles += layers.back().forward.cycles + layers.back().weights.cycles + (layers.size() > 1 ? layers.back().inputs.cycles : 0.0);
        }
    }
};

template <class T>
class Gradient {
  public:
    static constexpr int L = Lanes<T>::count;

    Gradient(const Network& network, const Task<T>& task, const Loss& loss);

    // Sets `slope` to the gradient at `parameters`. `see(first sample, samples, *this)` is called after each block's forward pass; when it returns false
    // the rest is left undone and the call returns false.
    template <class See>
    bool operator()(const Pack<T>& parameters, Pack<T>& slope, See&& see) {
        prepare(parameters);
        const bool whole = for_each_block([&](int first, int count, const BlockPlan& plan) {
            forward(parameters, first, count, plan);
            if (!see(first, count, *this)) return false;
            residuals(first, count);
            backward(parameters, slope, first, count, plan);
            return true;
        });
        if (whole) complete(parameters, slope);
        return whole;
    }

    // The forward pass alone.
    template <class See>
    bool forward_only(const Pack<T>& parameters, See&& see) {
        return for_each_block([&](int first, int count, const BlockPlan& plan) {
            forward(parameters, first, count, plan);
            return bool(see(first, count, *this));
        });
    }

    // What `see` may look at: logits [sample of the block][output] and hidden values [sample][unit] of the current block.
    const Pack<T>& logits() const { return values_.back(); }
    const Pack<T>& hidden(int layer) const { return values_[layer]; }
    const Network& network() const { return network_; }
    const Task<T>& task() const { return task_; }

    // Bytes that one pack walks through in a step: parameters, their gradient, and a block's values.
    static std::int64_t working_set(const Network& network, int samples);

  private:
    template <class Do>
    bool for_each_block(Do&& act);
    void prepare(const Pack<T>& parameters);
    void forward(const Pack<T>& parameters, int first, int count, const BlockPlan& plan);
    void residuals(int first, int count);
    void softmax_residuals(int first, int count);
    void add_biases(int layer, Pack<T>& slope, int first, int count);
    void backward(const Pack<T>& parameters, Pack<T>& slope, int first, int count, const BlockPlan& plan);
    void complete(const Pack<T>& parameters, Pack<T>& slope);

    const Network& network_;
    const Task<T>& task_;
    Loss loss_;
    bool homogeneous_;
    Cut blocks_;
    BlockPlan large_, small_;
    std::vector<Pack<T>> values_;  // one a layer: h after the forward pass, delta after the backward pass
    Pack<T> scaled_;               // z W of the last hidden layer
};

}  // namespace shoal

#include "shoal/gradient_impl.hpp"
