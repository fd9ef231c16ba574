// The two products of gradient.hpp for one hidden layer of ReLUs and one output, compiled for fixed sizes:
//
//   forward                  f_s = b + sum_o z_o relu(a_so),   a_so = c_o + sum_k x_sk W_ok,   and the gates 1[a_so > 0]
//   gated_weight_gradient    Q_ok = sum_s 1[a_so > 0] delta_s x_sk
//
// The tiles are those of tiles.hpp and each sum has the same order, so the bits are the same. This saves instructions around the sums: the terms of a forward
// tile are unrolled, addresses are constants, and nothing is looked up. A pack with several registers per number is processed register by register: these tiles
// have enough sums to hide latencies.
#pragma once

#include "shoal/plan.hpp"

namespace shoal {

struct Shape {
    int inputs, units;
};

// The only list of fixed shapes. Each adds some 20 KB to a module and 1% to its compile time.
constexpr Shape fixed_shapes[] = {{2, 3}, {2, 4}, {2, 6}, {2, 8}, {3, 6}, {10, 20}, {10, 64}};
constexpr int fixed_count = int(std::size(fixed_shapes));

namespace tiles {

// The product of one pass of one shape.
template <AnyLanes V, Pass pass, int index>
class Fixed {
    using T = typename V::Scalar;
    static constexpr Shape shape = fixed_shapes[index];
    using Part = Lanes<T>;
    static constexpr bool forward = pass == Pass::forward;
    static constexpr int many = 60;  // samples for which the tiles are chosen
    static constexpr Plan plan = Plan::of<Part>(pass, forward ? many : shape.units, forward ? shape.units : shape.inputs, forward ? shape.inputs : many);
    static constexpr Cut columns = plan.columns;

    template <int I, int J>
    static __attribute__((noinline)) void grid(const Product<T>& product, int row, int rows, int column) {
        Product<T> p = product;  // a copy with constants that the compiler knows
        p.below = p.inputs = shape.inputs;
        p.above = row_length(shape.units);
        p.finish = forward ? Finish::gates : Finish::store;
        const Begin other = forward ? Begin::column : Begin::stored;
        p.begin = product.begin == other ? other : Begin::zero;
        constexpr int tiles = J == columns.size ? columns.large : columns.small;
        for (int part = 0; part < V::registers; ++part) {
            for (int i = 0; i < rows; ++i)
                for (int j = 0; j < tiles; ++j) tile<Part, I, J, pass, true, forward ? shape.inputs : 0, V::count>(p, row + i * I, column + j * J);
            p.c += forward ? gate_size<Part> : Part::count;
            if constexpr (forward)
                p.b += Part::count, p.column += Part::count, p.head += Part::count, p.output += Part::count;
            else
                p.a += gate_size<Part>, p.delta += Part::count;
        }
    }

    // Runs the rows of tiles of height I.
    template <int I>
    static void rows(const Product<T>& p, int& row, const Cut& cut) {
        const int count = cut.size == I ? cut.large : cut.size == I + 1 ? cut.small : 0;
        if (count == 0) return;
        grid<I, columns.size>(p, row, count, 0);
        if constexpr (columns.small > 0) grid<I, columns.size - 1>(p, row, count, columns.large * columns.size);
        row += count * I;
    }

  public:
    static void run(const Product<T>& product, int samples) {
        int row = 0;
        if constexpr (forward) {
            const Cut cut = Cut::of(samples, plan.rows.size);
            [&]<int... less>(std::integer_sequence<int, less...>) {
                (rows<plan.rows.size - less>(product, row, cut), ...);
            }(std::make_integer_sequence<int, plan.rows.size>());
        } else {
            rows<plan.rows.size>(product, row, plan.rows);
            if constexpr (plan.rows.small > 0) rows<plan.rows.size - 1>(product, row, plan.rows);
        }
    }
};

template <class T>
using FixedRun = void (*)(const Product<T>&, int samples);

// Whether a shape has instances for packs of V: packs with several registers per number are used for tiny networks only.
template <AnyLanes V>
constexpr bool has_fixed(Shape shape) {
    return V::registers == 1 || (shape.inputs + 1) * shape.units <= tiny_parameters;
}

template <AnyLanes V, Pass pass, int... index>
constexpr std::array<FixedRun<typename V::Scalar>, sizeof...(index)> make_fixed(std::integer_sequence<int, index...>) {
    return {[] {
        if constexpr (has_fixed<V>(fixed_shapes[index]))
            return &Fixed<V, pass, index>::run;
        else
            return FixedRun<typename V::Scalar>(nullptr);
    }()...};
}

// One instance per shape, in the order of the list; null where has_fixed is false.
template <AnyLanes V, Pass pass>
constexpr auto fixed = make_fixed<V, pass>(std::make_integer_sequence<int, fixed_count>());

}  // namespace tiles

// Returns the index of a network in the list of shapes, or -1 if it has no instance for packs of V.
template <AnyLanes V>
int fixed_shape(const Network& network) {
    for (int n = 0; network.gated() && n < fixed_count; ++n)
        if (fixed_shapes[n].inputs == network.inputs() && fixed_shapes[n].units == network.last_hidden().outputs)
            return tiles::has_fixed<V>(fixed_shapes[n]) ? n : -1;
    return -1;
}

}  // namespace shoal
