// The dataset that all networks share: inputs, labels and the weight ("frequency") of each sample.
#pragma once

#include <cstdint>
#include <numeric>
#include <vector>

namespace shoal {

template <class T>
struct Task {
    int samples, dimension;
    std::vector<T> inputs;             // samples x dimension
    std::vector<std::int64_t> labels;  // -1, +1 for one output; 0..K-1 for K
    std::vector<T> weights;            // sum to 1
    std::vector<T> repeats;            // of how many equal samples each is the only one
    T repeated;                        // their sum

    Task(int samples, int dimension, const double* x, const std::int64_t* y, const double* p, const double* repeat = nullptr)
        : samples(samples), dimension(dimension), inputs(x, x + std::int64_t(samples) * dimension), labels(y, y + samples), weights(p, p + samples) {
        if (repeat)
            repeats.assign(repeat, repeat + samples);
        else
            repeats.assign(samples, T(1));
        repeated = std::accumulate(repeats.begin(), repeats.end(), T(0));
    }
};

}  // namespace shoal
