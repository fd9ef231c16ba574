// Inputs that span fewer dimensions than they have, in coordinates of their span.
//
//   x = Q^T z,   z = Q x,   V = W Q^T,   R = W - V Q          (the rows of Q are orthonormal)
//
// Only V acts on inputs in the span: W x = V z. The gradient of W lies in the span, dL/dW = (dL/dV) Q, so without weight decay R keeps its initial value. V is
// trained in place of W. Of R, the squared norm of each row is kept, and R itself if whole weights are recorded.
//
// All computations are in double precision, by sums of fixed order: the coordinates have the same bits on every instruction set.
#pragma once

#include "shoal/start.hpp"

#include <limits>
#include <optional>

namespace shoal {

struct Span {
    int dimension, rank;
    std::vector<double> basis;  // Q: rank x dimension
};

// sum_k a_k b_k, in eight partial sums.
inline double dot(const double* a, const double* b, int count) {
    double part[8] = {};
    int k = 0;
    for (; k + 8 <= count; k += 8)
        for (int i = 0; i < 8; ++i) part[i] += a[k + i] * b[k + i];
    for (int i = 0; k < count; ++k, ++i) part[i] += a[k] * b[k];
    return ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
}

// to += factor * from.
inline void add_multiple(double factor, const double* from, int count, double* to) {
    for (int k = 0; k < count; ++k) to[k] += factor * from[k];
}

// Returns the span of `samples` inputs by Gram-Schmidt. Each input, in order, minus its part along earlier directions (subtracted twice), gives a new direction
// if more than rounding is left. Stops at rank most + 1 if there are more than `most` directions.
inline Span span_of(const double* inputs, std::int64_t samples, int dimension, int most) {
    Span span{dimension, 0, {}};
    std::vector<double> left(dimension);
    for (std::int64_t s = 0; s < samples && span.rank <= most; ++s) {
        const double* const x = inputs + s * dimension;
        double largest = 0.0;
        for (int k = 0; k < dimension; ++k) largest = std::max(largest, std::abs(x[k]));
        if (largest == 0.0) continue;
        for (int k = 0; k < dimension; ++k) left[k] = x[k] / largest;  // so that no square overflows or vanishes
        const double whole = std::sqrt(dot(left.data(), left.data(), dimension));
        for (int twice = 0; twice < 2; ++twice)
            for (int j = 0; j < span.rank; ++j) {
                const double* const q = span.basis.data() + std::int64_t(j) * dimension;
                add_multiple(-dot(q, left.data(), dimension), q, dimension, left.data());
            }
        const double rest = std::sqrt(dot(left.data(), left.data(), dimension));
        if (rest <= 8 * dimension * std::numeric_limits<double>::epsilon() * whole) continue;
        if (span.rank++ == most) break;
        for (const double number : left) span.basis.push_back(number / rest);
    }
    return span;
}

// Writes z = Q x of each input, samples x rank.
inline void write_coordinates(const Span& span, const double* inputs, std::int64_t samples, double* to) {
    for (std::int64_t s = 0; s < samples; ++s)
        for (int j = 0; j < span.rank; ++j) *to++ = dot(span.basis.data() + std::int64_t(j) * span.dimension, inputs + s * span.dimension, span.dimension);
}

// Draws the initial weights of one network after another, in the coordinates in which it is trained.
class Drawing {
  public:
    // `network` is the trained network. If there is a span, the drawn network has its full dimension of inputs.
    Drawing(const Network& network, const std::optional<Span>& span)
        : span_(span ? &*span : nullptr),
          network_(span ? with_inputs(network, span->dimension) : network),
          drawn_(network_.parameters),
          trained_(span ? network.parameters : 0),
          squares_(span ? network.layers.front().outputs : 0) {}

    // Draws one network, and returns its largest number in magnitude, or NaN if one is NaN.
    double draw(const Start& start, std::uint64_t seed, std::int64_t index, std::int64_t position) {
        start.draw(network_, seed, index, position, drawn_.data());
        double largest = 0.0;
        for (const double number : drawn_) {
            if (std::abs(number) <= largest) continue;
            largest = std::abs(number);
            if (largest != largest) break;
        }
        if (span_) project();
        return largest;
    }

    const std::vector<double>& trained() const { return span_ ? trained_ : drawn_; }
    const Span* span() const { return span_; }
    // After a draw: R, outputs x dimension, and the squared norms of its rows.
    const double* rest() const { return drawn_.data(); }
    const std::vector<double>& squares() const { return squares_; }

  private:
    void project() {
        const int outputs = network_.layers.front().outputs, dimension = span_->dimension, rank = span_->rank;
        for (int o = 0; o < outputs; ++o) {
            double* const w = drawn_.data() + std::int64_t(o) * dimension;
            double* const v = trained_.data() + std::int64_t(o) * rank;
            for (int j = 0; j < rank; ++j) v[j] = dot(span_->basis.data() + std::int64_t(j) * dimension, w, dimension);
            for (int j = 0; j < rank; ++j) add_multiple(-v[j], span_->basis.data() + std::int64_t(j) * dimension, dimension, w);
            squares_[o] = dot(w, w, dimension);
        }
        std::copy(drawn_.begin() + std::int64_t(outputs) * dimension, drawn_.end(), trained_.begin() + std::int64_t(outputs) * rank);
    }

    const Span* span_;
    const Network network_;
    std::vector<double> drawn_, trained_, squares_;
};

}  // namespace shoal
