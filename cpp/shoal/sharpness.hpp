// The sharpness of the networks of a pack: the largest eigenvalue of R^(1/2) H R^(1/2), with H the Hessian of what training minimises, penalties included, by
// all weights and biases, and R the layers' rates (network.hpp). A step theta -> theta - eta R grad is stable along its eigenvector if eta times it is below 2.
//
// The eigenvalue is that of Lanczos' iteration from a fixed vector. It keeps two vectors: without new orthogonalisation the largest Ritz value still becomes the
// largest eigenvalue (Paige 1980). Each lane ends by itself: no bit depends on the engine or on neighbours.
#pragma once

#include "shoal/hessian.hpp"
#include "shoal/measure.hpp"
#include "shoal/tridiagonal.hpp"

#include <cmath>

namespace shoal {

template <AnyLanes V>
class Sharpness {
  public:
    using T = typename V::Scalar;

    static constexpr int most = 1000;  // iterations, after which a sharpness that is not found is NaN

    Sharpness(const Network& network, const Task<T>& task, const Loss& loss, const Penalty& penalty, const Record<T>& record)
        : record_(record),
          parameters_(network.parameters),
          hessian_(network, task, loss, penalty),
          draws_(network.parameters),
          vector_(network.parameters),
          before_(network.parameters),
          product_(network.parameters),
          lanczos_(most) {
        draw_normals(0, 0, 0, parameters_, draws_.data());
    }

    template <class Parameters>
    bool centre(const Parameters& parameters, V fresh, const Monitor& monitor) {
        return hessian_.centre(parameters, fresh, monitor);
    }

    // Returns false if the monitor says stop.
    template <class Parameters>
    bool write(const Parameters& parameters, const Sight<V>& sight, const Monitor& monitor) {
        if (!hessian_.prepare(parameters, monitor) || !find(sight.recorded(), monitor)) return false;
        // What no input meets has no curvature.
        sight.put(record_.sharpness, 1, 0, sight.lanes().unmet.span ? max(found_, V(0)) : found_);
        return true;
    }

  private:
    // Ends in a lane once |A z - theta z| of its Ritz pair is at most the square root of the dtype's resolution times the largest entry of T, which is at most
    // the largest |eigenvalue| of A.
    bool find(V open, const Monitor& monitor) {
        const V zero = 0, tolerance = T(std::sqrt(std::numeric_limits<T>::epsilon()));
        const V size = norm<V>(parameters_, [&](std::int64_t n) { return V(T(draws_[n])); });
        for (int n = 0; n < parameters_; ++n) (V(T(draws_[n])) / size).store(vector_.at(n));
        before_.clear();
        lanczos_.clear();
        found_ = std::numeric_limits<T>::quiet_NaN();
        V beside = 0;
        for (int row = 1, look = 1; row <= most && gathered(open); ++row) {
            if (!hessian_(vector_, product_, monitor)) return false;
            V diagonal = 0;
            for (int n = 0; n < parameters_; ++n) {
                const V rest = fma(-beside, before_[n], product_[n]);
                rest.store(product_.at(n));
                diagonal = fma(vector_[n], rest, diagonal);
            }
            for (int n = 0; n < parameters_; ++n) fma(-diagonal, vector_[n], product_[n]).store(product_.at(n));
            beside = norm<V>(parameters_, [&](std::int64_t n) { return product_[n]; });
            lanczos_.add(diagonal, beside);
            // Lanes whose vectors span all that the matrix makes of the first one end at once; others are looked at from time to time.
            const V enough = tolerance * lanczos_.entry(), ends = where_less(enough, beside, zero, open);
            const bool looks = row == look;
            if (looks) look += 1 + row / 8;
            if (looks || gathered(ends)) {
                const auto top = lanczos_.top(open);
                const V closes = looks ? where_less(enough, beside * top.last, zero, open) : ends;
                found_ = where_less(zero, closes, top.eigenvalue, found_);
                open = where_less(zero, closes, zero, open);
            }
            std::swap(before_, vector_);
            for (int n = 0; n < parameters_; ++n) where_less(zero, open, product_[n] / beside, zero).store(vector_.at(n));
        }
        return true;
    }

    const Record<T>& record_;
    const int parameters_;
    HessianProduct<V> hessian_;
    std::vector<double> draws_;  // the first vector, but for its length
    Pack<V> vector_, before_, product_;
    Tridiagonal<V> lanczos_;
    V found_ = 0;
};

}  // namespace shoal
