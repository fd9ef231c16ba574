// The dataset that all networks share: inputs, labels and a weight per sample.
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
    std::vector<std::int64_t> labels;  // -1, +1 for one output; 0..K-1 for K
    std::vector<T> weights;            // sum to 1
    std::vector<double> repeats;       // how many equal samples of the caller each one stands for
    double repeated;                   // their sum

    Task(int samples, int dimension, const double* x, const std::int64_t* y, const double* p, const double* repeat = nullptr)
        : samples(samples), dimension(dimension), place(samples) {
        std::iota(place.begin(), place.end(), 0);
        learnt = int(std::stable_partition(place.begin(), place.end(), [&](int s) { return T(p[s]) != 0; }) - place.begin());
        inputs.reserve(std::int64_t(samples) * dimension);
        for (const int s : place) {
            std::transform(x + std::int64_t(s) * dimension, x + std::int64_t(s + 1) * dimension, std::back_inserter(inputs),
                           [](double number) { return T(number); });
            labels.push_back(y[s]);
            weights.push_back(T(p[s]));
            repeats.push_back(repeat ? repeat[s] : 1.0);
        }
        repeated = std::accumulate(repeats.begin(), repeats.end(), 0.0);
    }
};

}  // namespace shoal
