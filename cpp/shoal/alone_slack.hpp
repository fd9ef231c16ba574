// Finds samples that certainly still meet their hinge. A step that records nothing of the samples leaves them out of the forward pass as well.
//
// For one hidden layer and one output, f(x) = sum_i z_i phi(w_i x + b_i) + c - f_0(x) in effective weights, with phi(0) = 0 and |phi(a) - phi(b)| <= |a - b|,
// a step from w, b, z, c to w', b', z', c' moves f(x) by at most |x| a + b,
//
//   a = sum_i ( |z_i'| |w_i' - w_i| + |z_i' - z_i| |w_i| ),   b = sum_i ( |z_i'| |b_i' - b_i| + |z_i' - z_i| |b_i| ) + |c' - c|.
//
// A and B are the sums of a and b over the steps. Let m be the margin of a sample when it was last seen, at A_0 and B_0. It meets a hinge of threshold h as
// long as |x| (A - A_0) + B - B_0 < m - h, up to rounding:
//
//   - A product is rounded at most n = 2 (d + M) + 16 times on its way to the output, by u each (twice for a multiply-add that is not fused; some are left
//     for f_0). So a computed output is off by at most r (|x| P + Q), r = 2 n u. Here P = sum_i |z_i| |w_i| and Q = sum_i |z_i| (|b_i| + tiny) + |c| + tiny,
//     both at their largest since initialisation. `tiny` bounds what underflows.
//   - P and Q grow by no more than A and B. So twice the error when the sample was last seen, with A and B slightly enlarged, covers both ends.
//   - A third such error, with |h| in Q, covers the subtraction m - h. A and B are rounded up. |x| A + B is rounded four times; 16 units are taken off.
//   - No intermediate number overflows if no norm is larger than `large`; else no sample rests.
//
// Which samples rest changes no bit. The sums still have a fixed order, so that the time does not depend on the threads.
#pragma once

#include "shoal/alone_passes.hpp"

#include <cmath>
#include <numeric>
#include <span>

namespace shoal::alone {

template <class T>
class Slack {
  public:
    using V = Lanes<T>;
    static constexpr int L = V::count;

    explicit Slack(const Run<T>& run) : network_(run.network), task_(run.task), threshold_(T(run.loss.threshold)) {
        const Network& network = run.network;
        const double operations = 2.0 * (double(network.inputs()) + network.layers[0].outputs) + 16;
        rounding_ = operations * eps;
        large_ = std::cbrt(double(std::numeric_limits<T>::max())) / operations;
        lost_ = 4 * operations * double(std::numeric_limits<T>::min());
        kept_ = run.loss.kink() != Kink::none && network.hidden_layers() == 1 && network.outputs() == 1 && is_piecewise_linear(network.activation) &&
                std::abs(network.slope) <= 1 && run.penalty.spectral_decoupling == 0 && rounding_ < 0.25;
        if (!kept_) return;
        before_ = Pack<V>(packs_of<V>(network.inputs()) * std::int64_t(network.layers[0].outputs));
        units_.resize(network.layers[0].outputs);
        reach_.resize(run.task.samples);
        awake_.resize(run.task.samples);
        norms_.reserve(run.task.samples);
        for (int s = 0; s < run.task.samples; ++s) {
            const T* const x = run.task.inputs.data() + std::int64_t(s) * network.inputs();
            double square = 0;
            for (int k = 0; k < network.inputs(); ++k) square += double(x[k]) * double(x[k]);
            const double size = norm(square);
            norms_.push_back(size <= large_ ? size : never);
        }
    }

    // Whether samples may rest at all in this training.
    bool kept() const { return kept_; }

    // Begins at the initialisation of a network: every sample has to be seen.
    void start(const Model<T>& model) {
        if (!kept_) return;
        std::fill(reach_.begin(), reach_.end(), -never);
        for (Unit& unit : units_) unit = {};
        before_.clear();
        bias_ = moved_ = moved_by_biases_ = size_ = size_by_biases_ = 0;
        for (int unit = 0; unit < network_.layers[0].outputs; ++unit) follow(unit, model);
        step(model);
        if (std::isfinite(moved_)) moved_ = moved_by_biases_ = 0;
    }

    // Notes how far the weights into a unit moved. Threads take units as they come.
    void follow(int unit, const Model<T>& model) {
        if (!kept_) return;
        const int inputs = network_.inputs(), packs = packs_of<V>(inputs);
        const T* const row = model.rows(0) + unit * row_of<V>(network_.layers[0]);
        V size = 0, change = 0;
        for (int k = 0; k < packs; ++k) {
            V now = V::load(row + k * L);
            if (inputs - k * L < L) now = first_numbers(now, inputs - k * L);  // the bias is followed by `step`
            const std::int64_t n = std::int64_t(unit) * packs + k;
            const V by = now - before_[n];
            size = fma(now, now, size);
            change = fma(by, by, change);
            now.store(before_.at(n));
        }
        Unit& of_unit = units_[unit];
        of_unit.size_before = of_unit.size;
        of_unit.size = norm(sum(size)), of_unit.change = norm(sum(change));
    }

    // Ends a step, when all its groups have been followed.
    void step(const Model<T>& model) {
        if (!kept_) return;
        const bool biased = network_.layers[0].biases >= 0;
        const int inputs = network_.inputs(), units = network_.layers[0].outputs;
        const std::int64_t row = row_of<V>(network_.layers[0]);
        const double c = network_.layers[1].biases >= 0 ? double(model.rows(1)[units]) : 0.0;
        double a = 0, b = 0, p = 0, q = 0;
        bool small = std::abs(c) <= large_;  // false for a NaN
        for (int i = 0; i < units; ++i) {
            Unit& unit = units_[i];
            const double head = model.rows(1)[i], bias = biased ? double(model.rows(0)[i * row + inputs]) : 0.0;
            const double by = std::abs(head - unit.head), z = std::abs(head);
            a += z * unit.change + by * unit.size_before;
            b += z * std::abs(bias - unit.bias) + by * (std::abs(unit.bias) + tiny);
            p += z * unit.size;
            q += z * (std::abs(bias) + tiny);
            small = small && unit.size <= large_ && std::abs(bias) <= large_ && z <= large_;
            unit.head = head, unit.bias = bias;
        }
        const double more = 1 + 4 * rounding_;
        moved_ = small ? above(moved_, more * a) : never;
        moved_by_biases_ = above(moved_by_biases_, more * (b + std::abs(c - bias_)));
        size_ = std::max(size_, more * p);
        size_by_biases_ = std::max(size_by_biases_, more * (q + std::abs(c) + tiny + std::abs(threshold_)));
        bias_ = c;
    }

    // Stores the margins of samples that have just been seen.
    void look(const Samples<T>& samples, const Block& block) {
        for (int n = 0; n < block.count; ++n) {
            const int s = block.sample(n);
            const double slack = double(samples.signs[s]) * double(samples.outputs[s]) - threshold_;
            const double rest = slack - 3 * rounding_ * (norms_[s] * size_ + size_by_biases_);
            reach_[s] = rest > 0 && slack < never ? (rest + spent(s)) * (1 - 8 * double_eps) : -never;
        }
    }

    // Returns the samples of a share that have to be seen, in order.
    std::span<const int> awake(const Share& share) {
        int *const first = awake_.data() + share.first, *next = first;
        for (int s = share.first; s < share.first + share.samples; ++s) {
            *next = s;
            next += !(spent(s) < reach_[s]);
        }
        return {first, next};
    }

    static std::int64_t bytes(const Network& network, int samples) {
        const std::int64_t units = network.layers[0].outputs, row = std::int64_t(packs_of<V>(network.inputs())) * L;
        return units * (row * std::int64_t(sizeof(T)) + std::int64_t(sizeof(Unit))) + std::int64_t(2 * sizeof(double) + sizeof(int)) * samples;
    }

  private:
    static constexpr double never = std::numeric_limits<double>::infinity();
    static constexpr double eps = std::numeric_limits<T>::epsilon(), double_eps = std::numeric_limits<double>::epsilon();
    // Times a unit of rounding, this exceeds what an underflow loses, even if the process flushes subnormal numbers to 0.
    static constexpr double tiny = 4 * double(std::numeric_limits<T>::min()) / eps;

    // A hidden unit at the last step: |w|, |w' - w|, |w| one step before, z and b.
    struct Unit {
        double size = 0, change = 0, size_before = 0, head = 0, bias = 0;
    };

    static V first_numbers(V numbers, int count) {
        alignas(64) T held[L];
        numbers.store(held);
        std::fill(held + count, held + L, T(0));
        return V::load(held);
    }
    static double sum(V squares) {
        alignas(64) T numbers[L];
        squares.store(numbers);
        return std::accumulate(numbers, numbers + L, 0.0);
    }

    // At least the norm whose square was summed up, in T, from terms that may have underflowed.
    double norm(double square) const { return (1 + rounding_) * std::sqrt(square + lost_); }
    // At least a + b.
    static double above(double a, double b) { return std::nextafter(a + b, never); }
    double spent(int s) const { return norms_[s] * moved_ + moved_by_biases_; }

    const Network& network_;
    const Task<T>& task_;
    double threshold_, rounding_, large_, lost_;
    bool kept_;
    Pack<V> before_;  // effective weights into the units, one step ago
    std::vector<Unit> units_;
    double bias_ = 0;  // c
    double moved_ = 0, moved_by_biases_ = 0, size_ = 0, size_by_biases_ = 0;  // A, B, P and Q
    std::vector<double> norms_, reach_;  // per sample: |x|, and how large |x| A + B may become
    std::vector<int> awake_;  // the samples of each share that have to be seen, beginning at its first sample
};

}  // namespace shoal::alone
