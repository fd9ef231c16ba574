// Decides whether a unit without incoming weights remains without.
//
// Near w = 0 the weights of a ReLU move by w' = sum_s c_s 1[w h_s > 0] h_s, uphill on Phi(w) = sum_s c_s relu(w h_s). Here h_s is the unit's input for sample
// s, and c_s the pull on its pre-activation. d|w|^2/dt = 2 Phi, so the flow stays at w = 0 if and only if Phi is nowhere positive. If it is positive somewhere,
// the weights may leave along any of its maxima, and the flow is not determined.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace shoal {

class Sink {
  public:
    // Whether Phi is nowhere positive. `heard` holds a row h_s of `dimension` numbers for each pull c_s. Also false if there are too many edges to check.
    bool holds(int dimension, const std::vector<double>& heard, const std::vector<double>& pulls) {
        if (std::none_of(pulls.begin(), pulls.end(), [](double pull) { return pull > 0; })) return true;
        dimension_ = dimension;
        heard_ = &heard;
        pulls_ = &pulls;
        find_basis();
        // Phi is linear within cones, so its largest values are on their edges, where rank - 1 of the rows are orthogonal to w.
        chosen_.assign(std::max(0, rank_ - 1), 0);
        return edges() <= most_edges && every_edge(0, 0);
    }

    // Whether the rows have more directions than dimensions: then more surfaces w h_s = 0 meet in w = 0 than can be told apart.
    bool crowds(int dimension, const std::vector<double>& heard, const std::vector<double>& pulls) {
        dimension_ = dimension;
        heard_ = &heard;
        pulls_ = &pulls;
        find_basis();
        int directions = 0;
        for (int s = 0; s < rows(); ++s) {
            bool is_new = dot(row(s), row(s)) > 0;
            for (int t = 0; t < s && is_new; ++t) {
                const double along = dot(row(s), row(t)), product = dot(row(s), row(s)) * dot(row(t), row(t));
                is_new = along * along < (1 - 1e-13) * product || product == 0;
            }
            directions += is_new;
        }
        return directions > rank_;
    }

  private:
    double dot(const double* a, const double* b) const {
        double sum = 0.0;
        for (int i = 0; i < dimension_; ++i) sum += a[i] * b[i];
        return sum;
    }
    static constexpr double most_edges = 20'000;
    int rows() const { return int(pulls_->size()); }
    const double* row(int s) const { return heard_->data() + std::size_t(s) * dimension_; }

    double edges() const {
        double count = 1;
        for (int k = 0; k + 1 < rank_; ++k) count *= double(rows() - k) / (k + 1);
        return count;
    }

    // Computes the rows in coordinates of their span.
    void find_basis() {
        std::vector<double> basis;
        rank_ = 0;
        for (int s = 0; s < rows() && rank_ < dimension_; ++s) {
            std::vector<double> rest(row(s), row(s) + dimension_);
            const double whole = norm(rest);
            for (int turn = 0; turn < 2; ++turn)
                for (int k = 0; k < rank_; ++k) remove(basis.data() + std::size_t(k) * dimension_, rest);
            const double length = norm(rest);
            if (!(length > 1e-7 * whole)) continue;
            for (const double entry : rest) basis.push_back(entry / length);
            ++rank_;
        }
        points_.assign(std::size_t(rows()) * rank_, 0.0);
        for (int s = 0; s < rows(); ++s)
            for (int k = 0; k < rank_; ++k)
                for (int i = 0; i < dimension_; ++i) points_[s * rank_ + k] += row(s)[i] * basis[std::size_t(k) * dimension_ + i];
    }

    static double norm(const std::vector<double>& v) {
        double sum = 0.0;
        for (const double entry : v) sum += entry * entry;
        return std::sqrt(sum);
    }
    static void remove(const double* unit, std::vector<double>& from) {
        double part = 0.0;
        for (std::size_t i = 0; i < from.size(); ++i) part += unit[i] * from[i];
        for (std::size_t i = 0; i < from.size(); ++i) from[i] -= part * unit[i];
    }

    bool every_edge(int chosen, int first) {
        if (chosen == int(chosen_.size())) return edge_holds();
        for (int s = first; s < rows(); ++s) {
            chosen_[chosen] = s;
            if (!every_edge(chosen + 1, s + 1)) return false;
        }
        return true;
    }

    // Whether Phi is not positive on both directions orthogonal to the chosen rows; true if there are more such directions.
    bool edge_holds() {
        std::vector<std::vector<double>> normals;
        for (const int s : chosen_) {
            std::vector<double> rest(points_.begin() + s * rank_, points_.begin() + (s + 1) * rank_);
            const double whole = norm(rest);
            for (int turn = 0; turn < 2; ++turn)
                for (const auto& other : normals) remove(other.data(), rest);
            const double length = norm(rest);
            if (!(length > 1e-9 * whole)) return true;
            for (double& entry : rest) entry /= length;
            normals.push_back(rest);
        }
        std::vector<double> direction;
        double longest = 0.0;
        for (int axis = 0; axis < rank_; ++axis) {
            std::vector<double> rest(rank_, 0.0);
            rest[axis] = 1.0;
            for (int turn = 0; turn < 2; ++turn)
                for (const auto& other : normals) remove(other.data(), rest);
            if (norm(rest) > longest) longest = norm(rest), direction = rest;
        }
        for (const double side : {1.0, -1.0}) {
            double up = 0.0, size = 0.0;
            for (int s = 0; s < rows(); ++s) {
                double along = 0.0;
                for (int k = 0; k < rank_; ++k) along += side * direction[k] * points_[s * rank_ + k];
                const double term = (*pulls_)[s] * std::max(along, 0.0);
                up += term, size += std::abs(term);
            }
            if (up > 1e-10 * size) return false;
        }
        return true;
    }

    int dimension_ = 0, rank_ = 0;
    const std::vector<double>*heard_ = nullptr, *pulls_ = nullptr;
    std::vector<double> points_;
    std::vector<int> chosen_;
};

}  // namespace shoal
