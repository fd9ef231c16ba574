// The passes of one network that trains alone over one block of samples: what each thread does with a share, in a workspace of its own.
//
// The formulas are those of gradient.hpp. Values are matrices of units x samples, a unit's samples side by side, so that a pack holds L samples of one unit: its
// products are packs times the weights as scalars. The gradient of the weights is a sum over samples: there rows of values below the layer, a sample's units side
// by side and then 1 for the bias, are the packs, and what a unit is pulled by is the scalar. Above another hidden layer it is the other way
// round if that takes less: where there are fewer units than inputs, fewer numbers have to be put in rows.
//
// If most samples of a block do not pull at the parameters (a hinge that is met), the others move together before the backward pass, which changes no bit.
#pragma once

#include "shoal/alone_model.hpp"

namespace shoal::alone {

// Samples that a pass sees together: side by side from `first` on, or the given `members`, in ascending order.
struct Block {
    int first, count;
    const int* members = nullptr;

    int sample(int n) const { return members ? members[n] : first + n; }
};

// A set of samples and the outputs of the network for them, now and (if it is centred) at the initialisation.
template <class T>
struct Samples {
    Samples(const Network& network, const Task<T>& task, double spectral_decoupling)
        : task(task), outputs(std::int64_t(task.samples) * network.outputs()), at_start(network.centred ? outputs.size() : 0) {
        for (int s = 0; s < task.samples; ++s) {
            signs.push_back(task.sign(s));
            pulls.push_back(-signs.back() * task.weights[s]);
            if (spectral_decoupling != 0) decouples.push_back(T(spectral_decoupling) * task.weights[s]);
        }
    }

    const Task<T>& task;
    std::vector<T> outputs, at_start;  // samples x outputs
    std::vector<T> signs, pulls;  // y_s (1 with targets) and -p_s y_s
    std::vector<T> decouples;  // S p_s; empty if S is 0
};

// Whether units are active on the samples of one share.
template <class T>
struct Activity {
    std::vector<std::vector<double>> counts;  // of samples, a number for each unit of each hidden layer; empty if nobody asks
    bool* pattern = nullptr;  // (hidden units, samples); null if nobody asks
};

// What the passes read of a block, side by side: rows of whole packs, a sample's inputs and then 1 for the bias; an input's samples; and a number for each sample,
// 0 behind the last; targets in rows, one per output.
template <class T>
struct Inputs {
    Pack<Lanes<T>> rows, columns, signs, pulls, decouples, targets;
};

template <class T>
class Passes {
  public:
    using V = Lanes<T>;
    static constexpr int L = V::count;

    Passes(const Network& network, const Loss& loss, int samples, const Tuning& tuning = Tuning::of_this_machine());

    // Samples of a block, of which the last of a share may have fewer.
    static int block_samples(const Network& network, int samples, const Tuning& tuning);

    // The outputs of the samples of a block.
    void forward(const Model<T>& model, Samples<T>& samples, const Block& block);
    // Whether the loss of a sample of the last forward pass, or an output, is not finite.
    bool lost(const Samples<T>& samples, const Block& block);
    // Adds which units are active on the samples of the last forward pass.
    void see_units(int first, int count, const Task<T>& task, Activity<T>& activity) const;
    // Whether some unit of a hidden layer is active on a sample of the last forward pass.
    bool some_active(int layer, const Block& block) const;
    // Adds the gradient of the samples of the last forward pass to `slopes`, or begins with them. A block of none begins with 0, after no forward pass.
    void backward(const Model<T>& model, const Samples<T>& samples, const Block& block, Rows<T>& slopes, Begin begin);

    // Bytes of one workspace.
    static std::int64_t bytes(const Network& network, int samples, const Tuning& tuning = Tuning::of_this_machine());

  private:
    // How the products of one layer are cut.
    struct Plans {
        Plan forward, weights, inputs;
        bool turned = false;  // whether the packs of the weight gradient hold units, not inputs
    };

    // act(place in a matrix of units x samples, place in a row of it) for each pack of so many units and samples.
    template <class Act>
    void for_each_value(int units, int count, Act&& act) const {
        const std::int64_t row = row_ * L, numbers = std::int64_t(packs_of<V>(count)) * L;
        for (std::int64_t first = 0; first < units * row; first += row)
            for (std::int64_t n = 0; n < numbers; n += L) act(first + n, n);
    }
    // What is kept of the pre-activations of a hidden layer (activation.hpp): a itself, or h.
    const Pack<V>& kept(int layer) const { return kept_.empty() ? values_[layer] : kept_[layer]; }
    void find_inputs(const Samples<T>& samples, const Block& block);
    void put_outputs(Samples<T>& samples, const Block& block);
    template <bool decoupled>
    void residuals(const Block& block);
    template <bool decoupled>
    void residuals_of_logits(const Samples<T>& samples, const Block& block);
    template <bool decoupled>
    void residuals_of_targets(const Block& block);
    bool lost_targets(const Block& block) const;
    int gather_pulling(int count);
    const T* rows_below(int layer, int count);
    void weight_gradient(int layer, const T* pulls, int count, const Plans& plans, Pack<V>& slopes, Begin begin);
    const std::vector<Plans>& plans_of(int count);

    const Network& network_;
    Loss loss_;
    bool homogeneous_;
    int samples_;  // of the largest block
    std::int64_t row_;  // packs that a row of units x samples takes
    int most_terms_;
    std::vector<std::vector<Plans>> plans_;  // of the layers, for each number of samples of a block that has come so far
    Inputs<T> inputs_;
    Block seen_{-1, 0};  // whose inputs these are, and of which samples
    const Samples<T>* seen_of_ = nullptr;
    std::vector<Pack<V>> values_;  // of hidden layers: h, then dL/da
    std::vector<Pack<V>> kept_;  // of hidden layers: a, if the activation keeps pre-activations
    Pack<V> back_;  // dL/dh of a hidden layer
    Pack<V> outputs_;  // f, then dL/df
    Pack<V> exponentials_;  // of one pack's logits, if there are several
    Pack<V> rows_;  // h of a hidden layer, or dL/da of the one above, row by row
    Pack<V> turned_;  // the weight gradient of a layer, with a row for each input
    std::vector<int> pulling_;  // the samples of the block that pull
};

}  // namespace shoal::alone

#include "shoal/alone_passes_impl.hpp"
#include "shoal/alone_residuals.hpp"
