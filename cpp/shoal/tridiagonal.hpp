// The largest eigenvalue of a symmetric tridiagonal matrix T per lane, and the last component of its unit eigenvector.
//
// With the diagonal a and the numbers b beside it, the pivots of x - T are d_1 = x - a_1, d_i = x - a_i - b_{i-1}^2 / d_{i-1}. All are positive if and only if
// x is above all eigenvalues. There, with n rows and p(x) = det(x - T) = prod_i d_i,
//
//   G = p'/p = sum_i d_i'/d_i,    H = -G' = sum_i ((d_i'/d_i)^2 - d_i''/d_i),    x -> x - n / (G + sqrt((n - 1) (n H - G^2)))
//
// is Laguerre's step, which comes down to the largest eigenvalue and never passes it, but for rounding; the search then halves an interval.
#pragma once

#include "shoal/pack.hpp"

#include <limits>

namespace shoal {

template <AnyLanes V>
class Tridiagonal {
  public:
    using T = typename V::Scalar;

    explicit Tridiagonal(int most) : diagonal_(most), beside_(most), scaled_(most), squares_(most) {}

    void clear() { rows_ = 0, entry_ = 0; }

    // Adds a row: its number of the diagonal, and, in the next row, the number beside that. Its absolute value is taken.
    void add(V diagonal, V beside) {
        if (rows_ > 0) entry_ = max(entry_, beside_[rows_ - 1]);
        entry_ = max(entry_, abs(diagonal));
        diagonal.store(diagonal_.at(rows_));
        abs(beside).store(beside_.at(rows_++));
    }

    // The largest entry in magnitude, which is at most the largest eigenvalue in magnitude. NaN in a lane is left out.
    V entry() const { return entry_; }

    struct Top {
        V eigenvalue, last;  // and the magnitude of the last component
    };

    // Finds it, to some units in the last place of the largest eigenvalue in magnitude, in lanes whose `open` is not 0. It is NaN if an entry is not finite.
    Top top(V open) {
        const V one = 1, zero = 0, bound = scale();
        Top found{bound - bound, zero};
        V low = T(-1 - resolution), high = T(1 + resolution), x = high, root = zero;
        for (int round = 0; round < 200 && gathered(open); ++round) {
            V step;
            const V above = step_down(x, step);  // 1 if x is above all eigenvalues, else 0
            high = where_less(zero, above, x, high);
            low = where_less(zero, above, low, x);
            const V near = where_less(step, V(T(2 * resolution)), above, zero), narrow = where_less(high - low, V(T(2 * resolution)), one, zero);
            const V middle = V(T(0.5)) * (low + high), closes = open * max(near, narrow);
            root = where_less(zero, closes, where_less(zero, near, x - step, middle), root);
            open = where_less(zero, closes, zero, open);
            const V next = x - step + V(resolution);  // stays above in spite of rounding
            x = where_less(zero, above, where_less(low, next, where_less(next, x, next, middle), middle), middle);
        }
        found.eigenvalue = fma(root, bound, found.eigenvalue);
        found.last = last_component(root);
        return found;
    }

  private:
    static constexpr T resolution = 4 * std::numeric_limits<T>::epsilon();

    // Writes T divided by a bound of its eigenvalues, which is returned, and the squares of what is beside its diagonal.
    V scale() {
        V bound = 0;
        for (int i = 0; i < rows_; ++i) {
            const V before = i > 0 ? beside_[i - 1] : V(0), after = i + 1 < rows_ ? beside_[i] : V(0);
            const V sum = abs(diagonal_[i]) + before + after;
            bound = where_less(sum, bound, bound, sum);  // keeps a NaN
        }
        const V unit = where_less(V(0), bound, bound, V(1));
        for (int i = 0; i < rows_; ++i) {
            const V beside = beside_[i] / unit;
            (diagonal_[i] / unit).store(scaled_.at(i));
            (beside * beside).store(squares_.at(i));
        }
        return bound;
    }

    // Laguerre's step down from x. Returns 1 in lanes in which x is above all eigenvalues, else 0; the step is then of no use.
    V step_down(V x, V& step) const {
        const V zero = 0, one = 1, n = T(rows_);
        V pivot = x - scaled_[0], first = one, second = zero, above = where_less(zero, pivot, one, zero);
        V ratio = first / pivot, sum = ratio, squares = ratio * ratio;
        for (int i = 1; i < rows_; ++i) {
            const V inverse = one / pivot, fall = squares_[i - 1] * inverse, slope = first * inverse;
            second = fall * inverse * (second - V(T(2)) * slope * first);
            first = fma(fall, slope, one);
            pivot = x - scaled_[i] - fall;
            above = where_less(zero, pivot, above, zero);
            ratio = first / pivot;
            sum = sum + ratio;
            squares = squares + (ratio * ratio - second / pivot);
        }
        const V under = (n - one) * (n * squares - sum * sum);
        step = n / (sum + sqrt(where_less(zero, under, under, zero)));
        return above;
    }

    // From the last component, where it is small, to the first, so that rounding errors do not grow beside the components.
    V last_component(V root) const {
        V pivot = root - scaled_[rows_ - 1], square = 1, sum = 1;
        for (int i = rows_ - 2; i >= 0; --i) {
            const V least = std::numeric_limits<T>::epsilon() * std::numeric_limits<T>::epsilon();
            pivot = where_less(abs(pivot), least, least, pivot);
            square = square * (pivot * pivot / squares_[i]);
            sum = sum + square;
            pivot = root - scaled_[i] - squares_[i] / pivot;
        }
        return V(1) / sqrt(sum);
    }

    Pack<V> diagonal_, beside_, scaled_, squares_;
    int rows_ = 0;
    V entry_ = 0;
};

}  // namespace shoal
