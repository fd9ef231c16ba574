// How the products of a network are cut into tiles and the samples into blocks. The choice is made once, before training, by a model of the machine's ports.
#pragma once

#include "shoal/network.hpp"
#include "shoal/tiles.hpp"
#include "shoal/tuning.hpp"

#include <algorithm>
#include <vector>

namespace shoal {

// A cut of one axis: `large` pieces of `size` numbers, then `small` pieces of `size - 1`.
struct Cut {
    int size, large, small;

    static constexpr Cut of(int count, int size) {
        const int pieces = (count + size - 1) / size, each = count / pieces, over = count % pieces;
        return over ? Cut{each + 1, over, pieces - over} : Cut{each, pieces, 0};
    }
};

// One product's tiles.
struct Plan {
    Cut rows, columns;
    double cycles;

    // Cycles of one tile. The model allows two multiply-adds or two loads per cycle, a dependency chain of latency 4 per term, and a fixed cost per sum. Loads
    // cost a little even if they hide behind arithmetic. docs/kernels.md says how far its choices are from the fastest tiles.
    static constexpr double tile_cycles(int i, int j, int terms) {
        const double arithmetic = i * j / 2.0, loads = (i + j) / 2.0;
        return terms * (std::max({arithmetic, loads, 4.0}) + 0.1 * loads) + 1.5 * i * j + 6.0;
    }

    template <AnyLanes V>
    static constexpr Plan of(Pass pass, int rows, int columns, int terms) {
        return best(rows, columns, terms, tiles::longest, tiles::longest, [=](int i, int j) { return tiles::fits<V>(pass, i, j); });
    }

    // The plan of the fewest cycles among tiles up to `most_rows` x `most_columns` that fit.
    template <class Fits>
    static constexpr Plan best(int rows, int columns, int terms, int most_rows, int most_columns, const Fits& fits) {
        Plan best{{}, {}, 1e300};
        for (int i = 1; i <= most_rows; ++i) {
            const Cut of_rows = Cut::of(rows, i);
            if (of_rows.size < i) continue;  // the same as before
            for (int j = 1; j <= most_columns && fits(i, j); ++j) {
                const Plan plan{of_rows, Cut::of(columns, j), 0.0};
                if (plan.columns.size < j) continue;
                const double cycles = plan.count(terms);
                if (cycles < best.cycles) best = {plan.rows, plan.columns, cycles};
            }
        }
        return best;
    }

  private:
    constexpr double count(int terms) const {
        double sum = 0.0;
        for (int a = 0; a < 2; ++a)
            for (int b = 0; b < 2; ++b)
                sum += double(a ? rows.small : rows.large) * (b ? columns.small : columns.large) * tile_cycles(rows.size - a, columns.size - b, terms);
        return sum;
    }
};

// The plans of one layer's three products for one block size.
struct LayerPlan {
    Plan forward, weights, inputs;
};

struct BlockPlan {
    std::vector<LayerPlan> layers;
    double cycles = 0.0;

    template <AnyLanes V>
    static BlockPlan of(const Network& network, int samples) {
        BlockPlan plan;
        for (const Layer& layer : network.layers) {
            const Pass weights = plan.layers.empty() && network.gated() ? Pass::gated_weight_gradient : Pass::weight_gradient;
            const LayerPlan made{Plan::of<V>(Pass::forward, samples, layer.outputs, layer.inputs), Plan::of<V>(weights, layer.outputs, layer.inputs, samples),
                                 Plan::of<V>(Pass::input_gradient, samples, layer.inputs, layer.outputs)};
            plan.cycles += made.forward.cycles + made.weights.cycles + (plan.layers.empty() ? 0.0 : made.inputs.cycles);
            plan.layers.push_back(made);
        }
        return plan;
    }
};

// Rows of values are an odd number of packs apart, so that a column of them spreads over all sets of the cache.
constexpr std::int64_t row_length(int units) { return units | 1; }

// Numbers between the values of two units of a layer, for all lanes of V: of gates, which are small on AVX-512, or of h, beside which some activations keep a.
template <AnyLanes V>
std::int64_t value_numbers(const Network& network, int layer, const Tuning& tuning) {
    if (layer == 0 && network.gated() && !tuning.keeps_values) return gate_size<V>;
    return V::count * (network.keeps_pre_activations(layer) ? 2 : 1);
}

// Returns the cut of the samples that the model finds cheapest among those whose blocks stay in the cache.
template <AnyLanes V>
Cut cut_samples(const Network& network, int samples, const Tuning& tuning) {
    std::int64_t row = 0;
    for (int l = 0; l < int(network.layers.size()); ++l)
        row += row_length(network.layers[l].outputs) * value_numbers<V>(network, l, tuning) * std::int64_t(sizeof(typename V::Scalar));
    const int largest = std::min(samples, int(std::clamp<std::int64_t>(tuning.block_bytes(V::registers > 1) / std::max<std::int64_t>(row, 1), 8, 256)));
    Cut best{}, cut{};
    double fewest = 1e300;
    for (int size = largest; size >= 1 && size >= largest / 2; --size) {
        const int before = cut.size;
        cut = Cut::of(samples, size);
        if (cut.size == before) continue;
        const double cycles =
            cut.large * BlockPlan::of<V>(network, cut.size).cycles + (cut.small ? cut.small * BlockPlan::of<V>(network, cut.size - 1).cycles : 0.0);
        if (cycles < fewest) fewest = cycles, best = cut;
    }
    return best;
}

// A cut of samples, with the plans of its large and of its small blocks.
struct Blocks {
    Cut cut{};
    BlockPlan large, small;

    template <AnyLanes V>
    static Blocks of(const Network& network, Cut cut) {
        return {cut, BlockPlan::of<V>(network, cut.size), BlockPlan::of<V>(network, std::max(1, cut.size - 1))};
    }
};

// Carries out a product as planned.
template <AnyLanes V, Pass pass, bool shared>
void multiply(const Plan& plan, const Product<typename V::Scalar>& product) {
    for (int a = 0, row = 0; a < 2; ++a) {
        const int rows = a ? plan.rows.small : plan.rows.large, i = plan.rows.size - a;
        if (!rows) continue;
        for (int b = 0, column = 0; b < 2; ++b) {
            const int columns = b ? plan.columns.small : plan.columns.large, j = plan.columns.size - b;
            if (!columns) continue;
            tiles::table<V, pass, shared>[(i - 1) * tiles::longest + j - 1](product, row, rows, column, columns);
            column += columns * j;
        }
        row += rows * i;
    }
}

}  // namespace shoal
