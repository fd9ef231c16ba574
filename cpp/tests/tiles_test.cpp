// Every tile of every table equals a plain loop, to the bit; and plans cover every product exactly once.
#include "check.hpp"
#include "plain.hpp"
#include "shoal/plan.hpp"

#include <bit>
#include <cstring>
#include <vector>

namespace {

using namespace shoal;
using plain::multiply_add;
using plain::numbers;

// One product in all its dimensions, with rows further apart than they are long. It computes a region of C: (row, column) + (rows x columns).
struct Shape {
    int row, rows, column, columns, terms;
};

struct End {
    Finish finish;
    Activation activation;

    End(Finish finish, Activation activation = Linear()) : finish(finish), activation(activation) {}
};

template <AnyLanes V, Pass pass, bool shared>
struct Case {
    using T = typename V::Scalar;
    static constexpr int L = V::count;
    static constexpr bool forward = pass == Pass::forward, weights = tiles::is_weight_gradient(pass);
    static constexpr bool shared_a = shared && forward, shared_b = shared && weights;

    Shape shape;
    std::int64_t below, above, inputs, size;
    Pack<V> a, b, column, delta, head, before, output_before, gates;
    Product<T> product;

    Case(Shape shape, Begin begin, End end) : shape(shape) {
        const int rows = shape.row + shape.rows, columns = shape.column + shape.columns;  // sample, unit, input in the order of each pass
        below = (forward ? shape.terms : columns) + 1, above = (forward ? columns : weights ? rows : shape.terms) + 2;
        inputs = (forward ? shape.terms : columns) + 3;
        const std::int64_t above_rows = weights ? shape.terms : rows, matrix_rows = forward ? columns : weights ? rows : shape.terms;
        a = numbers<V>(forward ? rows * below : above_rows * above, 1);
        b = numbers<V>(weights ? shape.terms * below : matrix_rows * inputs, 2);
        size = forward ? rows * above : weights ? matrix_rows * inputs : rows * below;
        before = numbers<V>(size, 3);
        column = numbers<V>(columns, 4);
        delta = numbers<V>(shape.terms, 5);
        head = numbers<V>(columns, 6);
        output_before = numbers<V>(rows, 7);
        if (pass == Pass::gated_weight_gradient) {
            gates = Pack<V>(above_rows * above);
            for (std::int64_t n = 0; n < above_rows * above; ++n) store_gates(gates.at(0) + n * gate_size<V>, V(0), a[n]);
        }
        product = {pass == Pass::gated_weight_gradient ? gates.at(0) : a.at(0),
                   b.at(0),
                   nullptr,
                   below,
                   above,
                   inputs,
                   shape.terms,
                   begin,
                   column.at(0),
                   end.finish,
                   end.activation,
                   T(0.25),
                   delta.at(0),
                   head.at(0),
                   nullptr};
    }

    static T number(const T* from, std::int64_t index, int lane, bool one_for_all) { return one_for_all ? from[index] : from[index * L + lane]; }

    // The sum C[i][j] of one lane before its finish, term by term, as the head of tiles.hpp defines it.
    T sum(int i, int j, T stored, int lane) const {
        T sum = product.begin == Begin::column ? column.at(j)[lane] : product.begin == Begin::stored ? stored : T(0);
        for (int r = 0; r < shape.terms; ++r) {
            T left = number(a.at(0), forward ? i * below + r : weights ? r * above + i : i * above + r, lane, shared_a);
            const T right = number(product.b, forward ? j * inputs + r : weights ? r * below + j : r * inputs + j, lane, shared_b);
            if (pass == Pass::gated_weight_gradient) left = left > 0 ? delta.at(r)[lane] : T(0);
            sum = multiply_add(left, right, sum);
        }
        return sum;
    }

    // The sum times phi'(a) for a <= 0.
    T below_kink(T sum) const {
        if (product.activation.template is<Relu>()) return 0;
        return product.activation.template is<LeakyRelu>() ? product.slope * sum : sum;
    }

    T element(int i, int j, T stored, int lane) const {
        const T sum = this->sum(i, j, stored, lane);
        switch (product.finish) {
            case Finish::store: return sum;
            case Finish::activate: return sum > 0 ? sum : below_kink(sum);
            case Finish::gates: return sum;  // `expected` stores its gates
            case Finish::times_derivative: return stored > 0 ? sum : below_kink(sum);
            case Finish::times_stored: return stored * sum;
        }
        return sum;
    }

    Pack<V> expected() const {
        Pack<V> c = before;
        const std::int64_t c_row = forward ? above : weights ? inputs : below;
        for (int i = shape.row; i < shape.row + shape.rows; ++i)
            for (int j = shape.column; j < shape.column + shape.columns; ++j) {
                alignas(64) T elements[L];
                for (int lane = 0; lane < L; ++lane) elements[lane] = element(i, j, before.at(i * c_row + j)[lane], lane);
                if (product.finish == Finish::gates)
                    store_gates(c.at(0) + (i * c_row + j) * gate_size<V>, V(0), V::load(elements));
                else
                    V::load(elements).store(c.at(i * c_row + j));
            }
        return c;
    }

    // f_i + sum_j relu(a_ij) z_j.
    Pack<V> expected_output() const {
        Pack<V> output = output_before;
        for (int i = shape.row; product.finish == Finish::gates && i < shape.row + shape.rows; ++i)
            for (int j = shape.column; j < shape.column + shape.columns; ++j)
                for (int lane = 0; lane < L; ++lane) {
                    const T a = sum(i, j, before.at(i * above + j)[lane], lane);
                    output.lane(i, lane) = multiply_add(a > 0 ? a : T(0), head.at(j)[lane], output.lane(i, lane));
                }
        return output;
    }

    // Checks that `act`, given the product, computes the region, and changes nothing else.
    template <class Act>
    bool right(Act&& act) {
        Pack<V> c = before, output = output_before;
        product.c = c.at(0), product.output = output.at(0);
        act(product);
        return std::memcmp(c.at(0), expected().at(0), size * L * sizeof(T)) == 0 &&
               std::memcmp(output.at(0), expected_output().at(0), (shape.row + shape.rows) * L * sizeof(T)) == 0;
    }
};

constexpr const char* pass_names[] = {"forward", "weight_gradient", "gated_weight_gradient", "input_gradient"};

template <AnyLanes V, Pass pass, bool shared>
int every_tile(std::vector<Begin> begins, std::vector<End> ends) {
    int tested = 0;
    for (int i = 1; i <= tiles::longest; ++i)
        for (int j = 1; j <= tiles::longest; ++j) {
            const auto grid = tiles::table<V, pass, shared>[(i - 1) * tiles::longest + j - 1];
            CHECK((grid != nullptr) == tiles::fits<V>(pass, i, j), "%s %d x %d", pass_names[int(pass)], i, j);
            if (!grid) continue;
            for (const Begin begin : begins)
                for (const End& end : ends)
                    for (const int terms : {1, 2, 7}) {
                        const Shape shape{1, 2 * i, 2, 3 * j, terms};
                        Case<V, pass, shared> made(shape, begin, end);
                        const bool right = made.right([&](const auto& product) { grid(product, shape.row, 2, shape.column, 3); });
                        CHECK(right, "%s, %s, tiles of %d x %d, %d terms, begin %d, finish %d with %s, %d registers of %zu bytes a number",
                              pass_names[int(pass)], shared ? "shared" : "lanes", i, j, terms, int(begin), int(end.finish), end.activation.name(), V::registers,
                              sizeof(typename V::Scalar));
                        ++tested;
                    }
        }
    return tested;
}

template <AnyLanes V>
void every_pass() {
    const std::vector<Begin> forward_begins{Begin::zero, Begin::column}, weight_begins{Begin::zero, Begin::stored};
    std::vector<End> forward_ends{Finish::store, Finish::gates}, input_ends{Finish::store, Finish::times_stored};
    for (const Activation activation : {Activation(Relu()), Activation(LeakyRelu()), Activation(Linear())}) {
        forward_ends.emplace_back(Finish::activate, activation);
        input_ends.emplace_back(Finish::times_derivative, activation);
    }
    int tested = every_tile<V, Pass::forward, false>(forward_begins, forward_ends) + every_tile<V, Pass::forward, true>(forward_begins, forward_ends);
    tested += every_tile<V, Pass::weight_gradient, false>(weight_begins, {Finish::store}) +
              every_tile<V, Pass::weight_gradient, true>(weight_begins, {Finish::store});
    tested += every_tile<V, Pass::gated_weight_gradient, false>(weight_begins, {Finish::store}) +
              every_tile<V, Pass::gated_weight_gradient, true>(weight_begins, {Finish::store});
    tested += every_tile<V, Pass::input_gradient, false>({Begin::zero}, input_ends);
    std::printf("%d tiles, %d x %zu-byte lanes\n", tested, V::count, sizeof(typename V::Scalar));
}

void cuts_are_whole() {
    for (int count = 1; count <= 300; ++count)
        for (int size = 1; size <= 300; ++size) {
            const Cut cut = Cut::of(count, size);
            CHECK(cut.large * cut.size + cut.small * (cut.size - 1) == count && cut.size <= size && cut.large > 0 && cut.small >= 0 &&
                      (cut.size > 1 || cut.small == 0),
                  "%d by %d gives %d of %d and %d of one less", count, size, cut.large, cut.size, cut.small);
        }
}

// A planned product equals the plain loop in the whole region, and leaves the rest unchanged.
template <AnyLanes V>
void plans_cover_once() {
    const auto check = [](auto pass, int rows, int columns, int terms, Begin begin, Finish finish = Finish::store) {
        const Plan plan = Plan::of<V>(pass(), rows, columns, terms);
        Case<V, pass(), false> made(Shape{0, rows, 0, columns, terms}, begin, finish);
        const bool right = made.right([&](const auto& product) { multiply<V, pass(), false>(plan, product); });
        CHECK(right, "%s of %d x %d, %d terms", pass_names[int(pass())], rows, columns, terms);
    };
    for (int rows = 1; rows <= 23; ++rows)
        for (int columns = 1; columns <= 23; ++columns)
            for (const int terms : {1, 5, 40}) {
                check([] { return Pass::forward; }, rows, columns, terms, Begin::column);
                check([] { return Pass::forward; }, rows, columns, terms, Begin::zero, Finish::gates);  // each output adds its units in order
                check([] { return Pass::weight_gradient; }, rows, columns, terms, Begin::stored);  // what is covered twice is added twice
                check([] { return Pass::gated_weight_gradient; }, rows, columns, terms, Begin::stored);
                check([] { return Pass::input_gradient; }, rows, columns, terms, Begin::zero);
            }
}

template <AnyLanes V>
void blocks_are_whole() {
    for (const auto& widths : std::vector<std::vector<int>>{{1, 1}, {2, 4, 1}, {10, 20, 1}, {100, 400, 1}, {784, 50, 50, 10}})
        for (int samples = 1; samples <= 700; samples += 1 + samples / 5) {
            for (const Tuning& tuning : {Tuning::of_this_machine(), Tuning{1024, 1024}, Tuning{1 << 30, 1 << 30}}) {
                const Cut cut = cut_samples<V>(Network(widths, Relu(), 0.0, true), samples, tuning);
                CHECK(cut.large * cut.size + cut.small * (cut.size - 1) == samples && cut.large > 0 && cut.small >= 0 && cut.size <= 256,
                      "%d samples: %d of %d and %d of one less", samples, cut.large, cut.size, cut.small);
            }
        }
}

}  // namespace

void run_tests() {
    every_pass<Lanes<double>>();
    every_pass<Lanes<float>>();
    every_pass<Lanes<double, 4>>();
    every_pass<Lanes<float, 4>>();
    cuts_are_whole();
    plans_cover_once<Lanes<double>>();
    plans_cover_once<Lanes<float, 4>>();
    blocks_are_whole<Lanes<double>>();
    blocks_are_whole<Lanes<float, 4>>();
}
