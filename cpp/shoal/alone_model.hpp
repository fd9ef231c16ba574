// One network that trains alone, between two steps: its parameters, row by row, and what a share of the samples adds to its gradient.
//
// A row holds the weights into one unit, then its bias if there is one, then 0 up to a whole pack. The formulas are those of gradient.hpp, with the same bits.
#pragma once

#include "shoal/alone_products.hpp"
#include "shoal/cohort.hpp"
#include "shoal/shares.hpp"
#include "shoal/update.hpp"

namespace shoal::alone {

// Numbers per row of a layer.
template <AnyLanes V>
std::int64_t row_of(const Layer& layer) {
    return std::int64_t(packs_of<V>(layer.inputs + (layer.biases >= 0))) * V::count;
}

// A number for each parameter, in rows. Of a homogeneous head only the bias is used, if there is one: its weights' gradient follows from the layer before.
template <class T>
struct Rows {
    using V = Lanes<T>;

    explicit Rows(const Network& network) {
        for (const Layer& layer : network.layers) layers.emplace_back(row_of<V>(layer) / V::count * layer.outputs);
    }

    static std::int64_t numbers(const Network& network) {
        std::int64_t sum = 0;
        for (const Layer& layer : network.layers) sum += row_of<V>(layer) * layer.outputs;
        return sum;
    }

    void add(const Rows& other) {
        for (std::size_t l = 0; l < layers.size(); ++l) layers[l].add(other.layers[l]);
    }

    std::vector<Pack<V>> layers;
};

template <class T>
class Model {
  public:
    using V = Lanes<T>;
    static constexpr int L = V::count;

    Model(const Network& network, const Penalty& penalty, bool with_velocity)
        : network_(network),
          decay_(penalty.weight_decay),
          homogeneous_(network.homogeneous_head()),
          has_scales_(network.has_scales()),
          has_gains_(has_scales_ || network.has_rates()),
          parameters_(network) {
        if (has_scales_) effective_.emplace(network);
        if (with_velocity) velocity_.emplace(network);
        if (homogeneous_ && network.hidden_layers() > 1) {
            const Layer& last = network.last_hidden();
            scaled_ = Pack<V>(row_of<V>(last) / L * last.outputs);
        }
        for (const Layer& layer : network.layers) {
            Factors& of_layer = factors_.emplace_back(Factors{Pack<V>(row_of<V>(layer) / L), Pack<V>(row_of<V>(layer) / L), Pack<V>(row_of<V>(layer) / L)});
            for (int k = 0; k < layer.inputs + (layer.biases >= 0); ++k) {
                const double scale = k < layer.inputs ? layer.scale : 1;
                of_layer.scale.at(0)[k] = T(scale), of_layer.gain.at(0)[k] = T(layer.rate * scale), of_layer.shrink.at(0)[k] = T(layer.rate * decay_);
            }
        }
        for (int l = 0; l < int(network.layers.size()) - homogeneous_; ++l) {
            const int units = network.layers[l].outputs, each = under_head(l) ? L : 1;
            const int groups = under_head(l) ? packs(l + 1) : units;
            for (int g = 0; g < groups; ++g) add_to_parts({l, g * each, std::min((g + 1) * each, units)});
        }
    }

    // Takes all parameters, as Network numbers them. Behind the rows a network that diverged leaves NaNs, which would count as its successor's.
    void load(const std::vector<T>& numbers) {
        for (Pack<V>& layer : parameters_.layers) layer.clear();
        for_each_number([&](int l, std::int64_t at, int number) { parameters_.layers[l].at(0)[at] = numbers[number]; });
        for (int l = 0; l < int(network_.layers.size()); ++l)
            for (std::int64_t n = 0; has_scales_ && n < packs(l) * network_.layers[l].outputs; ++n)
                (factors_[l].scale[n % packs(l)] * parameters_.layers[l][n]).store(effective_->layers[l].at(n));
        if (homogeneous_) scale_rows({network_.hidden_layers() - 1, 0, network_.last_hidden().outputs});
    }

    // All parameters, as Network numbers them.
    void write(std::vector<T>& numbers) const {
        for_each_number([&](int l, std::int64_t at, int number) { numbers[number] = parameters_.layers[l].at(0)[at]; });
    }

    // Where there is momentum: the velocity, likewise; 0 if no numbers are given.
    void load_velocity(const std::vector<double>* numbers) {
        for (Pack<V>& layer : velocity_->layers) layer.clear();
        if (numbers) for_each_number([&](int l, std::int64_t at, int number) { velocity_->layers[l].at(0)[at] = T((*numbers)[number]); });
    }
    void write_velocity(std::vector<T>& numbers) const {
        for_each_number([&](int l, std::int64_t at, int number) { numbers[number] = velocity_->layers[l].at(0)[at]; });
    }

    // The effective weights and the biases of a layer; with the weights behind a homogeneous head's last hidden layer times those of the head.
    const T* rows(int l) const { return (has_scales_ ? *effective_ : parameters_).layers[l].at(0); }
    const T* rows_back(int l) const { return homogeneous_ && l == network_.hidden_layers() - 1 ? scaled_.at(0) : rows(l); }

    // Parts of the parameters that threads may move at the same time.
    int parts() const { return int(parts_.size()); }

    // Whether some row into a unit of the first hidden layer is in a part: act(unit) for each.
    template <class Act>
    void for_each_first_row(int part, Act&& act) const {
        for (const Units& units : parts_[part])
            for (int o = units.first; units.layer == 0 && network_.hidden_layers() > 0 && o < units.end; ++o) act(o);
    }

    // One step of a part of the parameters, by the gradients of all shares, summed in their order. Returns what `gather_not_finite` saw.
    V move(int part, const std::vector<Rows<T>>& shares, const Update<V>& update) {
        V seen = 0;
        for (const Units& units : parts_[part]) {
            for_each_pack(units, shares, [&](const Places& of, std::int64_t n, int k, V slope) {
                const V moved = advance(of, n, k, slope, update);
                seen = gather_not_finite(seen, moved);
            });
            if (under_head(units.layer)) scale_rows(units);
        }
        return seen;
    }

    // The gradient of all shares, whatever the layers' rates are, as Network numbers it.
    void write_gradient(const std::vector<Rows<T>>& shares, std::vector<T>& to) {
        const auto put = [&](const Places& of, std::int64_t n, int k, V slope) {
            const Layer& layer = network_.layers[of.layer];
            if (has_scales_) slope = V::load(of.scale + k * L) * slope;
            if (decay_ != 0) slope = fma(V(T(decay_)), V::load(of.theta + n * L), slope);
            alignas(64) T numbers[L];
            slope.store(numbers);
            const std::int64_t o = n / packs(of.layer);
            for (int lane = 0; lane < L; ++lane) {
                const int in = k * L + lane;
                if (in < layer.inputs)
                    to[layer.weights + o * layer.inputs + in] = numbers[lane];
                else if (in == layer.inputs && layer.biases >= 0)
                    to[layer.biases + o] = numbers[lane];
            }
        };
        for (const std::vector<Units>& part : parts_)
            for (const Units& units : part) for_each_pack(units, shares, put);
    }

  private:
    struct Factors {
        Pack<V> scale, gain, shrink;  // s, r s and r L of the numbers of a row; of biases 1, r and r L
    };
    // Rows of a layer that move together: under a homogeneous head L of them, with the pack of the head's numbers that they have there.
    struct Units {
        int layer, first, end;
    };
    // Where the numbers of a layer are, looked up once for all of its packs.
    struct Places {
        int layer;
        T *theta, *velocity, *effective;
        const T *scale, *gain, *shrink;
    };
    static constexpr std::int64_t part_numbers = 4096;

    void add_to_parts(Units units) {
        const std::int64_t numbers = row_of<V>(network_.layers[units.layer]) * (units.end - units.first);
        if (parts_.empty() || held_ + numbers > part_numbers) parts_.emplace_back(), held_ = 0;
        held_ += numbers;
        std::vector<Units>& part = parts_.back();
        if (!part.empty() && part.back().layer == units.layer && !under_head(units.layer))
            part.back().end = units.end;
        else
            part.push_back(units);
    }

    bool under_head(int l) const { return homogeneous_ && l == network_.hidden_layers() - 1; }
    int packs(int l) const { return int(row_of<V>(network_.layers[l])) / L; }

    // act(layer, place in its rows, number) for each parameter.
    template <class Act>
    void for_each_number(Act&& act) const {
        for (int l = 0; l < int(network_.layers.size()); ++l) {
            const Layer& layer = network_.layers[l];
            const std::int64_t row = row_of<V>(layer);
            for (int o = 0; o < layer.outputs; ++o) {
                for (int k = 0; k < layer.inputs; ++k) act(l, o * row + k, layer.weights + o * layer.inputs + k);
                if (layer.biases >= 0) act(l, o * row + layer.inputs, layer.biases + o);
            }
        }
    }

    Places places(int l) {
        const auto at = [l](std::optional<Rows<T>>& rows) { return rows ? rows->layers[l].at(0) : nullptr; };
        const Factors& factors = factors_[l];
        return {l, parameters_.layers[l].at(0), at(velocity_), at(effective_), factors.scale.at(0), factors.gain.at(0), factors.shrink.at(0)};
    }

    // act(places of the layer, pack of the layer, pack of the row, gradient of the effective parameters) for each pack of these units' rows. Under a homogeneous
    // head the pack of its numbers comes last: the gradient of a weight is the sum over a row's numbers times their gradients, whose lanes are the units.
    template <class Act>
    void for_each_pack(const Units& units, const std::vector<Rows<T>>& shares, Act&& act) {
        const int l = units.layer, each = packs(l), count = units.end - units.first;
        const auto slope_of = [&shares](int layer, std::int64_t n) {
            V slope = shares[0].layers[layer][n];
            for (std::size_t share = 1; share < shares.size(); ++share) slope = slope + shares[share].layers[layer][n];
            return slope;
        };
        const Places here = places(l);
        std::int64_t n = std::int64_t(units.first) * each;
        if (!under_head(l)) {
            for (int o = 0; o < count; ++o)
                for (int k = 0; k < each; ++k, ++n) act(here, n, k, slope_of(l, n));
            return;
        }
        const Layer& layer = network_.layers[l];
        const int numbers = layer.inputs + (layer.biases >= 0), group = units.first / L;
        const T *const w = rows(l), *const z = rows(l + 1) + units.first;
        V head = 0;
        for (int k = 0; k < each; ++k, ++n) {
            typename V::Square weights, slopes;
            SHOAL_UNROLL for (int o = 0; o < L; ++o) {
                const V weight = o < count ? V::load(w + (n + o * each) * L) : V(0), slope = o < count ? slope_of(l, n + o * each) : V(0);
                weights.packet[o] = weight.value[0], slopes.packet[o] = slope.value[0];
                if (o < count) act(here, n + o * each, k, V(z[o]) * slope);
            }
            packet::ptranspose(weights);
            packet::ptranspose(slopes);
            SHOAL_UNROLL for (int lane = 0; lane < L; ++lane) {
                if (k * L + lane >= numbers) break;
                V weight, slope;
                weight.value[0] = weights.packet[lane], slope.value[0] = slopes.packet[lane];
                head = fma(weight, slope, head);
            }
        }
        const int bias = layer.outputs - group * L;
        if (network_.layers[l + 1].biases >= 0 && bias < L) {
            alignas(64) T slopes[L], of_bias[L];
            head.store(slopes);
            slope_of(l + 1, group).store(of_bias);
            slopes[bias] = of_bias[bias];
            head = V::load(slopes);
        }
        act(places(l + 1), group, group, head);
    }

    // What is handed over in gradient.hpp: the slope of the weights themselves times the rate, with the pull of weight decay.
    V downhill(V gain, V shrink, V theta, V slope) const {
        if (has_gains_) slope = gain * slope;
        return decay_ == 0 ? slope : fma(has_gains_ ? shrink : V(T(decay_)), theta, slope);
    }

    // Moves pack n of a layer, and returns where to.
    V advance(const Places& of, std::int64_t n, int k, V slope, const Update<V>& update) {
        const V theta = V::load(of.theta + n * L), down = downhill(V::load(of.gain + k * L), V::load(of.shrink + k * L), theta, slope);
        V moved;
        if (of.velocity) {
            V velocity = V::load(of.velocity + n * L);
            moved = update(theta, down, velocity);
            velocity.store(of.velocity + n * L);
        } else {
            moved = update(theta, down);
        }
        moved.store(of.theta + n * L);
        if (of.effective) (V::load(of.scale + k * L) * moved).store(of.effective + n * L);
        return moved;
    }

    // z W of units of the last hidden layer, where another one lies below it.
    void scale_rows(const Units& units) {
        const int l = units.layer, each = packs(l);
        if (l < 1) return;
        const T *const w = rows(l), *const z = rows(l + 1);
        T* const to = scaled_.at(0);
        for (int o = units.first; o < units.end; ++o)
            for (std::int64_t n = std::int64_t(o) * each; n < std::int64_t(o + 1) * each; ++n) (V(z[o]) * V::load(w + n * L)).store(to + n * L);
    }

    const Network& network_;
    double decay_;
    bool homogeneous_, has_scales_, has_gains_;
    Rows<T> parameters_;
    std::optional<Rows<T>> effective_;  // where there are scales
    std::optional<Rows<T>> velocity_;   // where there is momentum
    Pack<V> scaled_;                    // z W of the last hidden layer, where another one lies below it
    std::vector<Factors> factors_;
    std::vector<std::vector<Units>> parts_;
    std::int64_t held_ = 0;  // numbers of the last part
};

}  // namespace shoal::alone
