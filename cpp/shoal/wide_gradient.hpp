// The passes of one wide network over one block of samples: what each thread does with a share, in its own workspace.
//
// As in gradient.hpp, with the units in the lanes. Samples with residual 0 (a hinge that is met) do not pull at the parameters and are left out of the backward
// pass: the rows of the others are gathered, which changes no bit.
#pragma once

#include "shoal/wide_model.hpp"

namespace shoal::wide {

// A set of samples and the outputs of the network for them: present ones and, if it is centred, those at initialisation.
template <class T>
struct Samples {
    Samples(const Network& network, const Task<T>& task, double spectral_decoupling)
        : task(task), outputs(std::int64_t(task.samples) * network.outputs()), at_start(network.centred ? outputs.size() : 0) {
        for (int s = 0; s < task.samples; ++s) {
            signs.push_back(T(task.labels[s]));
            pulls.push_back(-signs.back() * task.weights[s]);
            if (spectral_decoupling != 0) decouples.push_back(T(spectral_decoupling) * task.weights[s]);
        }
    }

    const Task<T>& task;
    std::vector<T> outputs, at_start;  // samples x outputs
    std::vector<T> signs, pulls;  // y_s and -p_s y_s
    std::vector<T> decouples;  // S p_s; empty where S is 0
};

// Samples that a pass sees together: consecutive ones beginning at `first`, or the given `members`, in ascending order.
struct Block {
    int first, count;
    const int* members = nullptr;

    int sample(int n) const { return members ? members[n] : first + n; }
};

// Which units are active on the samples of one share.
template <class T>
struct Activity {
    std::vector<std::vector<double>> counts;  // numbers of samples, per unit of each hidden layer; empty if not requested
    bool* pattern = nullptr;  // (hidden units, samples); null if not requested
};

template <class T>
class Passes {
  public:
    using V = Lanes<T>;
    static constexpr int L = V::count;

    Passes(const Network& network, const Loss& loss, const Tuning& tuning = Tuning::of_this_machine());

    // Computes the outputs of the samples of a block.
    void forward(const Model<T>& model, Samples<T>& samples, const Block& block);
    // Whether, in the last forward pass, an output or the loss of a sample was not finite.
    bool lost(const Samples<T>& samples, const Block& block) const;
    // Adds the activity of units on the samples of the last forward pass.
    void see_units(int first, int count, const Task<T>& task, Activity<T>& activity) const;
    // Whether some unit of a hidden layer is active on some sample of the last forward pass.
    bool some_active(int layer, const Block& block) const;
    // Adds the gradient of the samples of the last forward pass to `slopes`, or begins the sums with it. A block without samples sets them to 0, after no
    // forward pass.
    void backward(const Model<T>& model, const Samples<T>& samples, const Block& block, Slopes<T>& slopes, Begin begin);

    // The bytes of one workspace.
    static std::int64_t bytes(const Network& network);

  private:
    void dot(const Model<T>& model, int count);
    void find_residuals(const Samples<T>& samples, const Block& block);
    template <class Kind>
    void margin_residuals(const Samples<T>& samples, const Block& block);
    void residuals_of_logits(const Samples<T>& samples, const Block& block);
    void head(const Model<T>& model, Slopes<T>& slopes, Begin begin);
    template <int R, class Phi>
    void head_rows(Phi phi, const Model<T>& model, Pack<V>& slopes, int first);
    void take_through_activation(int layer);
    void gather_below(int layer, const Cut& columns);
    void add_biases(int layer, Slopes<T>& slopes, Begin begin);

    const T* find_inputs(const Task<T>& task, const Block& block);
    const T* below(int layer) const { return layer == 0 ? inputs_ : values_[layer - 1].at(0); }
    std::int64_t below_row(int layer) const { return layer == 0 ? network_.inputs() : row_numbers<T>(network_.layers[layer].inputs); }
    static Cut rows_of(const Plan& plan, int rows) { return Cut::of(rows, plan.rows.size); }

    const Network& network_;
    Loss loss_;
    std::int64_t panel_bytes_;
    std::vector<LayerPlan> plans_;
    std::vector<T> gathered_;  // inputs of a block of `members`
    const T* inputs_ = nullptr;  // of the block, row by row
    std::vector<Pack<V>> values_;  // of hidden layers: h, row by row
    std::vector<Pack<V>> back_;  // per hidden layer, row by row of the samples that pull: dL/dh, then dL/da
    Pack<V> outputs_;  // of the block, row by row
    std::vector<int> rows_;  // the samples of the block that pull
    Pack<V> deltas_;  // dL/df of those, [row][output]
    Pack<V> lanes_, scalars_;  // operands of a weight gradient, panel by panel
};

}  // namespace shoal::wide

#include "shoal/wide_gradient_impl.hpp"
