// The tangent kernel of the networks of a pack on all samples, as gradient flow sees it: with layer rates r and scales s (network.hpp),
//
//   K_st = sum_k sum_l r_l (d_ls . d_lt) (s_l^2 h_{l-1,s} . h_{l-1,t} + 1[layer l has biases])
//
// where d_ls is the derivative of output k at sample s by the pre-activations of layer l: d_N = e_k and d_{l-1} = phi'(a_{l-1}) (s_l W_l^T d_l). For several
// outputs k it is the trace over them. Under the squared loss of one output df/dt = K P (y - f), with P the sample weights.
//
// The order of all sums is that of samples, units and layers, so networks in lanes and alone have the same bits.
#pragma once

#include "shoal/monitor.hpp"
#include "shoal/network.hpp"
#include "shoal/record.hpp"
#include "shoal/task.hpp"

namespace shoal {

template <AnyLanes V>
class TangentKernel {
  public:
    using T = typename V::Scalar;

    TangentKernel(const Network& network, const Task<T>& task)
        : network_(network), task_(task), weights_(network.parameters), numbers_(pairs()), products_(pairs() * std::int64_t(network.layers.size())) {
        for (const Layer& layer : network.layers) {
            const std::int64_t all = std::int64_t(task.samples) * layer.outputs;
            values_.emplace_back(all), kept_.emplace_back(all), slopes_.emplace_back(all);
        }
    }

    // Finds the kernel at these parameters. Returns false if the monitor says stop; it is then not found.
    template <class Parameters>
    bool find(const Parameters& parameters, const Monitor& monitor) {
        for (const Layer& layer : network_.layers) {
            const V scale = T(layer.scale);
            const int all = layer.inputs * layer.outputs;
            for (int n = layer.weights; n < layer.weights + all; ++n) (scale * parameters[n]).store(weights_.at(n));
            for (int o = 0; layer.biases >= 0 && o < layer.outputs; ++o) parameters[layer.biases + o].store(weights_.at(layer.biases + o));
        }
        for (int s = 0; s < task_.samples; ++s) {
            if (monitor.stopped()) return false;
            for (int l = 0; l < int(network_.layers.size()); ++l) forward(s, l);
        }
        numbers_.clear();
        for (int l = 0; l < int(network_.layers.size()); ++l)
            if (!for_each_pair(monitor, [&](int s, int t, std::int64_t pair) { product_of_inputs(l, s, t).store(product(l, pair)); })) return false;
        for (int k = 0; k < network_.outputs(); ++k) {
            for (int s = 0; s < task_.samples; ++s) {
                if (monitor.stopped()) return false;
                backward(s, k);
            }
            if (!for_each_pair(monitor, [&](int s, int t, std::int64_t pair) { add_pair(s, t, pair); })) return false;
        }
        return true;
    }

    // K of two samples, in the order of the task.
    V operator()(int s, int t) const { return numbers_[pair_of(std::max(s, t), std::min(s, t))]; }

    // 1 - <K, K'> / (|K| |K'|), as half the square of K/|K| - K'/|K'|, in which little cancels. NaN if one of both kernels is 0.
    V distance(const TangentKernel& other) const {
        const V one = V(1) / norm(), two = V(1) / other.norm();
        return V(T(0.5)) * sum_of_squares([&](std::int64_t pair) { return numbers_[pair] * one - other.numbers_[pair] * two; });
    }

  private:
    // sum_st of the square of a number of each pair of the caller's samples, of which some may be equal.
    template <class Number>
    V sum_of_squares(Number&& number) const {
        V sum = 0;
        for (int s = 0; s < task_.samples; ++s)
            for (int t = 0; t <= s; ++t) {
                const V one = number(pair_of(s, t)), count = T((t < s ? 2 : 1) * task_.repeats[s] * task_.repeats[t]);
                sum = fma(count, one * one, sum);
            }
        return sum;
    }
    V norm() const {
        return sqrt(sum_of_squares([&](std::int64_t pair) { return numbers_[pair]; }));
    }

    std::int64_t pairs() const { return pair_of(task_.samples, 0); }
    static std::int64_t pair_of(int s, int t) { return std::int64_t(s) * (s + 1) / 2 + t; }
    T* product(int l, std::int64_t pair) { return products_.at(l * pairs() + pair); }

    // act(s, t, their number) for t <= s.
    template <class Act>
    bool for_each_pair(const Monitor& monitor, Act&& act) {
        std::int64_t pair = 0;
        for (int s = 0; s < task_.samples; ++s) {
            if (monitor.stopped()) return false;
            for (int t = 0; t <= s; ++t) act(s, t, pair++);
        }
        return true;
    }

    V input(int l, int s, int k) const {
        if (l == 0) return V(task_.inputs[std::int64_t(s) * task_.dimension + k]);
        return values_[l - 1][std::int64_t(s) * network_.layers[l].inputs + k];
    }

    void forward(int s, int l) {
        const Layer& layer = network_.layers[l];
        network_.activation.with([&](auto phi) {
            for (int o = 0; o < layer.outputs; ++o) {
                V a = layer.biases >= 0 ? weights_[layer.biases + o] : V(0);
                for (int k = 0; k < layer.inputs; ++k) a = fma(input(l, s, k), weights_[layer.weights + o * layer.inputs + k], a);
                const std::int64_t at = std::int64_t(s) * layer.outputs + o;
                const V h = phi.value(a, V(T(network_.slope)));
                h.store(values_[l].at(at));
                (decltype(phi)::keeps_pre_activation ? a : h).store(kept_[l].at(at));
            }
        });
    }

    // The derivatives of output k, layer by layer.
    void backward(int s, int k) {
        const int last = network_.hidden_layers();
        for (int o = 0; o < network_.outputs(); ++o) V(T(o == k)).store(slopes_[last].at(std::int64_t(s) * network_.outputs() + o));
        for (int l = last; l > 0; --l) {
            const Layer& layer = network_.layers[l];
            network_.activation.with([&](auto phi) {
                for (int i = 0; i < layer.inputs; ++i) {
                    V sum = 0;
                    for (int o = 0; o < layer.outputs; ++o)
                        sum = fma(weights_[layer.weights + o * layer.inputs + i], slopes_[l][std::int64_t(s) * layer.outputs + o], sum);
                    const std::int64_t at = std::int64_t(s) * layer.inputs + i;
                    phi.times_derivative(kept_[l - 1][at], sum, V(T(network_.slope))).store(slopes_[l - 1].at(at));
                }
            });
        }
    }

    V product_of_inputs(int l, int s, int t) const {
        V sum = 0;
        for (int k = 0; k < network_.layers[l].inputs; ++k) sum = fma(input(l, s, k), input(l, t, k), sum);
        return sum;
    }

    void add_pair(int s, int t, std::int64_t pair) {
        V sum = numbers_[pair];
        for (int l = 0; l < int(network_.layers.size()); ++l) {
            const Layer& layer = network_.layers[l];
            const T *const one = slopes_[l].at(std::int64_t(s) * layer.outputs), *const other = slopes_[l].at(std::int64_t(t) * layer.outputs);
            V both = 0;
            for (std::int64_t o = 0; o < layer.outputs; ++o) both = fma(V::load(one + o * V::count), V::load(other + o * V::count), both);
            const V of_inputs = T(layer.rate * layer.scale * layer.scale), of_biases = T(layer.biases >= 0 ? layer.rate : 0);
            sum = fma(both, fma(of_inputs, V::load(product(l, pair)), of_biases), sum);
        }
        sum.store(numbers_.at(pair));
    }

    const Network& network_;
    const Task<T>& task_;
    Pack<V> weights_;                             // effective ones, and biases
    std::vector<Pack<V>> values_, kept_, slopes_;  // samples x units of each layer: h, what is kept of a, and d
    Pack<V> numbers_, products_;                  // of pairs of samples: K; of each layer the products of its inputs
};

// The measures of the kernel: itself, and its distance from that at initialisation, 1 - <K, K_0> / (|K| |K_0|).
template <AnyLanes V>
class KernelMeasure {
  public:
    using T = typename V::Scalar;

    KernelMeasure(const Network& network, const Task<T>& task, const Record<T>& record) : task_(task), record_(record), kernel_(network, task) {
        if (record.kernel_distance) first_.emplace_back(network, task);
    }

    // `initial` is read only if the distance is recorded. Returns false if the monitor says stop.
    template <class Parameters>
    bool write(const Parameters& parameters, const Parameters& initial, const Sight<V>& sight, const Monitor& monitor) {
        if (!kernel_.find(parameters, monitor)) return false;
        for (int s = 0; record_.tangent_kernel && s < task_.samples; ++s)
            for (int t = 0; t < task_.samples; ++t)
                sight.put(record_.tangent_kernel, size(), std::int64_t(task_.place[s]) * task_.samples + task_.place[t], kernel_(s, t));
        if (!record_.kernel_distance) return true;
        if (!first_[0].find(initial, monitor)) return false;
        sight.put(record_.kernel_distance, 1, 0, kernel_.distance(first_[0]));
        return true;
    }
    void forget(const Sight<V>& sight) const {
        sight.forget(record_.tangent_kernel, size());
        sight.forget(record_.kernel_distance, 1);
    }
    void hold(const Sight<V>& sight) const {
        sight.hold(record_.tangent_kernel, size());
        sight.hold(record_.kernel_distance, 1);
    }

  private:
    std::int64_t size() const { return std::int64_t(task_.samples) * task_.samples; }

    const Task<T>& task_;
    const Record<T>& record_;
    TangentKernel<V> kernel_;
    std::vector<TangentKernel<V>> first_;  // that at initialisation, if the distance is recorded
};

}  // namespace shoal
