// The dataset that all networks share: inputs, labels or targets, and a weight per sample.
//
// Samples of weight 0 are measured, not learnt. They come after the others, so that passes of the gradient can leave them out.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <numeric>
#include <vector>

namespace shoal {

template <class T>
struct Task {
    int samples, dimension;
    int learnt;                        // number of samples with a positive weight, which come first
    std::vector<int> place;            // index of each sample in the caller's order
    std::vector<T> inputs;             // samples x dimension
    std::vector<std::int64_t> labels;  // -1, +1 for one output; 0..K-1 for K; empty for a regression
    std::vector<T> targets;            // samples x outputs, from which the squared loss takes the outputs; empty if the loss is one of labels
    std::vector<T> weights;            // sum to 1
    std::vector<double> repeats;       // how many equal samples of the caller each one stands for
    double repeated;                   // their sum

    // Labels y, targets t (samples x outputs), or both: classes whose outputs are to be the targets.
    Task(int samples, int dimension, const double* x, const std::int64_t* y, const double* p, const double* repeat = nullptr, const double* t = nullptr,
         int outputs = 1)
        : samples(samples), dimension(dimension), place(samples), outputs_(outputs) {
        std::iota(place.begin(), place.end(), 0);
        learnt = int(std::stable_partition(place.begin(), place.end(), [&](int s) { return T(p[s]) != 0; }) - place.begin());
        inputs.reserve(std::int64_t(samples) * dimension);
        for (const int s : place) {
            append(inputs, x, s, dimension);
            if (y) labels.push_back(y[s]);
            if (t) append(targets, t, s, outputs);
            weights.push_back(T(p[s]));
            repeats.push_back(repeat ? repeat[s] : 1.0);
        }
        repeated = std::accumulate(repeats.begin(), repeats.end(), 0.0);
    }

    // What the margin of a single output is, per output: its label, or 1 if it has a target.
    T sign(int sample) const { return targets.empty() ? T(labels[sample]) : T(1); }

    // What the squared loss takes an output from: its target, or the label of a single output.
    T target(int sample, int output) const { return targets.empty() ? T(labels[sample]) : targets[std::int64_t(sample) * outputs_ + output]; }

  private:
    static void append(std::vector<T>& to, const double* from, int row, int length) {
        const double* const first = from + std::int64_t(row) * length;
        to.insert(to.end(), first, first + length);
    }

    int outputs_;
};

}  // namespace shoal
