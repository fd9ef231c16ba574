// Decides on which side of each of several surfaces that meet in a point the flow continues, or along which of them.
//
// Each surface i has a gate l_i, 1 above it and 0 below, and a speed s_i at which its height grows: s = q + M l. A flow in the sense of Filippov has
//
//   l_i = 1 and s_i >= 0   (above),   l_i = 0 and s_i <= 0   (below),   or   0 <= l_i <= 1 and s_i = 0   (along: the network slides)
//
// for every surface. If the flow pushes back onto every surface (-M has positive principal minors), there is exactly one such flow. Its velocity is then the
// element of least norm of the subdifferential.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace shoal {

// How the network continues at a surface: on one of its sides, or along it.
enum class Stand : std::int8_t { below, along, above };

class Complementarity {
  public:
    // Filled by the caller, after `resize`.
    std::vector<double> speeds;  // q
    std::vector<double> responses;  // M, row by row
    std::vector<double> noise, faint;  // magnitudes below which rounding cannot tell from 0 a speed, and the response of a speed to the surface's own gate
    std::vector<Stand> stands;  // before: from where the network comes; after: the answer
    std::vector<double> gates;  // the answer

    void resize(int count) {
        count_ = count;
        speeds.assign(count, 0.0);
        responses.assign(std::size_t(count) * count, 0.0);
        noise.assign(count, 0.0);
        faint.assign(count, 0.0);
        gates.assign(count, 0.0);
        stands.resize(count, Stand::below);
    }
    double& response(int i, int j) { return responses[std::size_t(i) * count_ + j]; }
    double response(int i, int j) const { return responses[std::size_t(i) * count_ + j]; }
    int count() const { return count_; }

    // Finds stands and gates that agree, changing the stand of one surface at a time. It begins from where the network comes, so that of several answers it
    // finds the one that the network runs into. Returns false if it finds none.
    bool solve() {
        const int most = 20 + 10 * count_;
        for (int round = 0; round < most; ++round) {
            leave_neutral();
            if (!find_gates()) return false;
            const int worst = find_violated(round < most / 2);
            if (worst < 0) return leave_edges();
            change(worst);
        }
        return count_ <= 6 && search() && leave_edges();
    }

    // Finds the gates of the surfaces along which the network slides, by elimination with pivots from the diagonal block.
    bool find_gates() {
        along_.clear();
        for (int i = 0; i < count_; ++i) {
            gates[i] = stands[i] == Stand::above ? 1.0 : 0.0;
            if (stands[i] == Stand::along) along_.push_back(i);
        }
        const int size = int(along_.size()), width = size + 1;
        table_.assign(std::size_t(size) * width, 0.0);
        for (int a = 0; a < size; ++a) {
            for (int b = 0; b < size; ++b) table_[a * width + b] = response(along_[a], along_[b]);
            double right = speeds[along_[a]];
            for (int j = 0; j < count_; ++j)
                if (stands[j] == Stand::above) right += response(along_[a], j);
            table_[a * width + size] = -right;
        }
        if (!eliminate(size)) return false;
        for (int a = 0; a < size; ++a) gates[along_[a]] = table_[a * width + size];
        return true;
    }

    // Changes the stand of the surface that agrees least; returns false if all agree.
    bool change_worst() {
        const int worst = find_violated(true);
        if (worst >= 0) change(worst);
        return worst >= 0;
    }

    // Whether the present stands agree with gates and speeds.
    bool agrees() { return find_gates() && find_violated(true) < 0; }

    // Finds the gates with which the network slides along all of the surfaces, in whatever range; returns false if there are none.
    bool slide() {
        std::fill(stands.begin(), stands.end(), Stand::along);
        return find_gates();
    }

    double speed(int i) const {
        double sum = speeds[i];
        for (int j = 0; j < count_; ++j) sum += response(i, j) * gates[j];
        return sum;
    }

    // The accuracy to which a gate is known and kept in its range.
    double slack(int i) const { return 1e-13 + noise[i] / std::max(std::abs(response(i, i)), 1e-300); }

  private:
    bool eliminate(int size) {
        const int width = size + 1;
        for (int k = 0; k < size; ++k) {
            int pivot = k;
            for (int a = k + 1; a < size; ++a)
                if (std::abs(table_[a * width + k]) > std::abs(table_[pivot * width + k])) pivot = a;
            if (!(std::abs(table_[pivot * width + k]) > 0)) return false;
            if (pivot != k) std::swap_ranges(table_.begin() + k * width, table_.begin() + (k + 1) * width, table_.begin() + pivot * width);
            for (int a = 0; a < size; ++a) {
                if (a == k) continue;
                const double factor = table_[a * width + k] / table_[k * width + k];
                if (factor != 0)
                    for (int b = k; b < width; ++b) table_[a * width + b] -= factor * table_[k * width + b];
            }
        }
        for (int k = 0; k < size; ++k) table_[k * width + size] /= table_[k * width + k];
        return true;
    }

    // A surface whose own gate no longer changes its speed cannot hold the network: its height goes where the others take it.
    void leave_neutral() {
        for (int i = 0; i < count_; ++i)
            if (stands[i] == Stand::along && response(i, i) > -faint[i]) stands[i] = speed(i) > 0 ? Stand::above : Stand::below;
    }

    // If a gate is at the end of its range, nothing holds the network on the surface: descent steps across and stays there, as does a unit that dies.
    bool leave_edges() {
        for (int i = 0; i < count_; ++i) {
            if (stands[i] != Stand::along || std::min(gates[i], 1.0 - gates[i]) > slack(i)) continue;
            stands[i] = gates[i] > 0.5 ? Stand::above : Stand::below;
            if (agrees()) continue;
            stands[i] = Stand::along;
            if (!find_gates()) return false;
        }
        return true;
    }

    // Returns the surface that agrees least with its stand; or, unless `least`, the first that does not agree, which prevents long cycles. -1 if all agree.
    int find_violated(bool least) const {
        int worst = -1;
        double most = 0.0;
        for (int i = 0; i < count_; ++i) {
            double beyond = 0.0;
            if (stands[i] == Stand::along) {
                beyond = std::max(gates[i] - 1.0, -gates[i]) - slack(i);
            } else {
                const double towards = stands[i] == Stand::above ? -speed(i) : speed(i), scale = std::abs(response(i, i)) + std::abs(speeds[i]);
                beyond = towards > noise[i] ? towards / scale : 0.0;
            }
            if (beyond > most) {
                most = beyond, worst = i;
                if (!least) break;
            }
        }
        return worst;
    }

    // Returns how the speed of a height responds to its own gate while the network slides along the others.
    double own_response(int i) {
        std::vector<int>& along = along_;
        along.clear();
        for (int j = 0; j < count_; ++j)
            if (stands[j] == Stand::along && j != i) along.push_back(j);
        const int size = int(along.size()), width = size + 1;
        table_.assign(std::size_t(size) * width, 0.0);
        for (int a = 0; a < size; ++a) {
            for (int b = 0; b < size; ++b) table_[a * width + b] = response(along[a], along[b]);
            table_[a * width + size] = response(along[a], i);
        }
        double own = response(i, i);
        if (!eliminate(size)) return own;
        for (int a = 0; a < size; ++a) own -= response(i, along[a]) * table_[a * width + size];
        return own;
    }

    void change(int i) {
        if (stands[i] == Stand::along) {
            stands[i] = gates[i] > 0.5 ? Stand::above : Stand::below;
            return;
        }
        // If the far side does not push back, the network crosses.
        stands[i] = own_response(i) < -faint[i] ? Stand::along : stands[i] == Stand::above ? Stand::below : Stand::above;
    }

    // Tries all combinations of stands; true if exactly one agrees.
    bool search() {
        int ways = 1, found = 0;
        for (int i = 0; i < count_; ++i) ways *= 3;
        std::vector<Stand> answer;
        for (int way = 0; way < ways; ++way) {
            for (int i = 0, rest = way; i < count_; ++i, rest /= 3) stands[i] = Stand(rest % 3);
            if (!agrees()) continue;
            answer = stands;
            ++found;
        }
        if (found != 1) return false;
        stands = answer;
        return find_gates();
    }

    int count_ = 0;
    std::vector<int> along_;
    std::vector<double> table_;
};

}  // namespace shoal
