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
        const int layers = int(network.layers.size()) - homogeneous_;
        for (int l = 0; l < layers; ++l)
            for (int o = 0; o < network.layers[l].outputs; ++o) add_to_parts({l, o}, row_of<V>(network.layers[l]));
        if (homogeneous_ && network.layers.back().biases >= 0) add_to_parts({layers, 0}, 0);
    }

    // Takes all parameters, as Network numbers them. Behind the rows a network that diverged leaves NaNs, which would count as its successor's.
    void load(const std::vector<T>& numbers) {
        for (Pack<V>& layer : parameters_.layers) layer.clear();
        for_each_number([&](int l, std::int64_t at, int number) { parameters_.layers[l].at(0)[at] = numbers[number]; });
        for (int l = 0; l < int(network_.layers.size()); ++l)
            for (std::int64_t n = 0; has_scales_ && n < packs(l) * network_.layers[l].outputs; ++n)
                (factors_[l].scale[n % packs(l)] * parameters_.layers[l][n]).store(effective_->layers[l].at(n));
        for (int o = 0; o < network_.last_hidden().outputs; ++o) scale_row(o);
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
        for (const auto [l, o] : parts_[part])
            if (l == 0 && network_.hidden_layers() > 0) act(o);
    }

    // One step of a part of the parameters, by the gradients of all shares, summed in their order. Returns what `gather_not_finite` saw.
    V move(int part, const std::vector<Rows<T>>& shares, const Update<V>& update) {
        V seen = 0;
        const int last = network_.hidden_layers() - 1;
        for (const auto [l, o] : parts_[part]) {
            if (homogeneous_ && l > last) {
                seen = move_head(network_.layers[l].inputs, of_shares(shares, l, network_.layers[l].inputs), update, seen);
                continue;
            }
            const V head = for_each_pack(l, o, shares, [&, l = l](std::int64_t n, int k, V slope) {
                const V theta = parameters_.layers[l][n];
                const V moved = advance(l, n, theta, downhill(factors_[l].gain[k], factors_[l].shrink[k], theta, slope), update);
                moved.store(parameters_.layers[l].at(n));
                if (has_scales_) (factors_[l].scale[k] * moved).store(effective_->layers[l].at(n));
                seen = gather_not_finite(seen, moved);
            });
            if (homogeneous_ && l == last) {
                seen = move_head(o, head, update, seen);
                scale_row(o);
            }
        }
        return seen;
    }

    // The gradient of all shares, whatever the layers' rates are, as Network numbers it.
    void write_gradient(const std::vector<Rows<T>>& shares, std::vector<T>& to) const {
        const auto put = [&](int l, int o, int k, V slope) {
            const Layer& layer = network_.layers[l];
            if (has_scales_) slope = factors_[l].scale[k] * slope;
            if (decay_ != 0) slope = fma(V(T(decay_)), parameters_.layers[l][std::int64_t(o) * packs(l) + k], slope);
            alignas(64) T numbers[L];
            slope.store(numbers);
            for (int lane = 0; lane < L; ++lane) {
                const int in = k * L + lane;
                if (in < layer.inputs)
                    to[layer.weights + o * layer.inputs + in] = numbers[lane];
                else if (in == layer.inputs && layer.biases >= 0)
                    to[layer.biases + o] = numbers[lane];
            }
        };
        const int layers = int(network_.layers.size()) - homogeneous_;
        std::vector<T> head(homogeneous_ ? row_of<V>(network_.layers.back()) : 0);
        for (int l = 0; l < layers; ++l)
            for (int o = 0; o < network_.layers[l].outputs; ++o) {
                const V of_head = for_each_pack(l, o, shares, [&, l = l](std::int64_t, int k, V slope) { put(l, o, k, slope); });
                if (homogeneous_ && l == layers - 1) head[o] = first_of(of_head);
            }
        if (!homogeneous_) return;
        const Layer& last = network_.layers.back();
        if (last.biases >= 0) head[last.inputs] = first_of(of_shares(shares, layers, last.inputs));
        for (int k = 0; k < packs(layers); ++k) {
            alignas(64) T numbers[L];
            std::copy_n(head.data() + k * L, L, numbers);
            put(layers, 0, k, V::load(numbers));
        }
    }

  private:
    struct Factors {
        Pack<V> scale, gain, shrink;  // s, r s and r L of the numbers of a row; of biases 1, r and r L
    };
    struct Row {
        int layer, unit;
    };
    static constexpr std::int64_t part_numbers = 4096;

    void add_to_parts(Row row, std::int64_t numbers) {
        if (parts_.empty() || held_ + numbers > part_numbers) parts_.emplace_back(), held_ = 0;
        parts_.back().push_back(row);
        held_ += numbers;
    }

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

    static T first_of(V value) {
        alignas(64) T numbers[L];
        value.store(numbers);
        return numbers[0];
    }

    static V of_shares(const std::vector<Rows<T>>& shares, int l, std::int64_t number) {
        const auto at = [&](const Rows<T>& share) { return V(share.layers[l].at(0)[number]); };
        V all = at(shares[0]);
        for (std::size_t n = 1; n < shares.size(); ++n) all = all + at(shares[n]);
        return all;
    }

    // act(pack of the layer, pack of the row, gradient of the effective parameters) for each pack of a row. Returns, of the last hidden layer under a
    // homogeneous head, the gradient of the head's weight of this unit, in all lanes.
    template <class Act>
    V for_each_pack(int l, int o, const std::vector<Rows<T>>& shares, Act&& act) const {
        const Layer& layer = network_.layers[l];
        const int each = packs(l), numbers = layer.inputs + (layer.biases >= 0);
        const bool under_head = homogeneous_ && l == network_.hidden_layers() - 1;
        const V z = under_head ? V(rows(l + 1)[o]) : V(1);
        V head = 0;
        for (int k = 0; k < each; ++k) {
            const std::int64_t n = std::int64_t(o) * each + k;
            V slope = shares[0].layers[l][n];
            for (std::size_t share = 1; share < shares.size(); ++share) slope = slope + shares[share].layers[l][n];
            if (under_head) {
                alignas(64) T q[L];
                slope.store(q);
                const T* const w = rows(l) + n * L;
                for (int lane = 0; lane < std::min(L, numbers - k * L); ++lane) head = fma(V(w[lane]), V(q[lane]), head);
                slope = z * slope;
            }
            act(n, k, slope);
        }
        return head;
    }

    // What is handed over in gradient.hpp: the slope of the weights themselves times the rate, with the pull of weight decay.
    V downhill(V gain, V shrink, V theta, V slope) const {
        if (has_gains_) slope = gain * slope;
        return decay_ == 0 ? slope : fma(has_gains_ ? shrink : V(T(decay_)), theta, slope);
    }

    // Where pack n of a layer moves to.
    V advance(int l, std::int64_t n, V theta, V slope, const Update<V>& update) {
        if (!velocity_) return update(theta, slope);
        V velocity = velocity_->layers[l][n];
        const V moved = update(theta, slope, velocity);
        velocity.store(velocity_->layers[l].at(n));
        return moved;
    }

    // One number of a homogeneous head: the weight of a unit, or the bias behind them.
    V move_head(int number, V slope, const Update<V>& update, V seen) {
        const int l = network_.hidden_layers(), lane = number % L;
        T* const theta = parameters_.layers[l].at(0) + number;
        const auto factor = [&](const Pack<V>& of_row) { return V(of_row.at(0)[number]); };
        const V before = *theta, down = downhill(factor(factors_[l].gain), factor(factors_[l].shrink), before, slope);
        alignas(64) T numbers[L];
        V moved;
        if (velocity_) {
            T* const held = velocity_->layers[l].at(0) + number;
            V velocity = *held;
            moved = update(before, down, velocity);
            velocity.store(numbers);
            *held = numbers[lane];
        } else {
            moved = update(before, down);
        }
        moved.store(numbers);
        *theta = numbers[lane];
        if (has_scales_) {
            (factor(factors_[l].scale) * moved).store(numbers);
            effective_->layers[l].at(0)[number] = numbers[lane];
        }
        return gather_not_finite(seen, moved);
    }

    // z W of a unit of the last hidden layer.
    void scale_row(int o) {
        const int l = network_.hidden_layers() - 1;
        if (!homogeneous_ || l < 1) return;
        const V z = rows(l + 1)[o];
        for (std::int64_t n = std::int64_t(o) * packs(l); n < std::int64_t(o + 1) * packs(l); ++n) (z * V::load(rows(l) + n * L)).store(scaled_.at(n));
    }

    const Network& network_;
    double decay_;
    bool homogeneous_, has_scales_, has_gains_;
    Rows<T> parameters_;
    std::optional<Rows<T>> effective_;  // where there are scales
    std::optional<Rows<T>> velocity_;   // where there is momentum
    Pack<V> scaled_;                    // z W of the last hidden layer, where another one lies below it
    std::vector<Factors> factors_;
    std::vector<std::vector<Row>> parts_;
    std::int64_t held_ = 0;  // numbers of the last part
};

}  // namespace shoal::alone
