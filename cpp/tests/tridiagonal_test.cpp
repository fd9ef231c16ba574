// The largest eigenvalue of tridiagonal matrices, and the last component of its eigenvector, in closed form or by another method.
#include "shoal/tridiagonal.hpp"
#include "check.hpp"

#include <cmath>
#include <numbers>
#include <vector>

namespace {

using Exact = long double;

struct Matrix {
    std::vector<double> diagonal, beside;  // beside[i] is next to diagonal[i] and diagonal[i + 1]; the last one is outside
};

// Sturm's count: whether x is above all eigenvalues.
bool is_above(const Matrix& matrix, Exact x) {
    Exact pivot = 1, square = 0;
    for (std::size_t i = 0; i < matrix.diagonal.size(); ++i) {
        pivot = x - matrix.diagonal[i] - (i > 0 ? square / pivot : 0);
        if (pivot <= 0) return false;
        square = Exact(matrix.beside[i]) * matrix.beside[i];
    }
    return true;
}

// By halving an interval in long double, of a matrix whose entries are at most `size`.
Exact largest(const Matrix& matrix, Exact size) {
    Exact low = -4 * size, high = 4 * size;
    for (int round = 0; round < 100; ++round) (is_above(matrix, (low + high) / 2) ? high : low) = (low + high) / 2;
    return high;
}

template <class T>
void matches(const std::vector<Matrix>& matrices) {
    using V = shoal::Lanes<T>;
    const T resolution = std::numeric_limits<T>::epsilon();
    for (const Matrix& matrix : matrices) {
        shoal::Tridiagonal<V> search(64);
        Exact size = 0;
        for (std::size_t i = 0; i < matrix.diagonal.size(); ++i) {
            search.add(V(T(matrix.diagonal[i])), V(T(matrix.beside[i])));
            size = std::max({size, std::abs(Exact(matrix.diagonal[i])), std::abs(Exact(matrix.beside[i]))});
        }
        const auto top = search.top(V(1));
        const Exact expected = largest(matrix, size);
        alignas(64) T found[V::count], last[V::count];
        top.eigenvalue.store(found), top.last.store(last);
        CHECK(std::abs(found[0] - expected) <= 100 * resolution * size, "%g is not %g, of entries up to %g", double(found[0]), double(expected), double(size));
        CHECK(found[V::count - 1] == found[0] && last[V::count - 1] == last[0], "lanes differ");
        CHECK(last[0] >= 0 && last[0] <= 1 + 10 * resolution, "the last component is %g", double(last[0]));
    }
}

// 2 on the diagonal and 1 beside it: the eigenvalues are 2 + 2 cos(pi j / (n + 1)), the last component of the first eigenvector sqrt(2 / (n + 1)) sin(pi n / (n + 1)).
template <class T>
void knows_the_chain() {
    using V = shoal::Lanes<T>;
    shoal::Tridiagonal<V> search(64);
    for (int n = 1; n <= 60; ++n) {
        search.add(V(2), V(1));
        const auto top = search.top(V(1));
        alignas(64) T found[V::count], last[V::count];
        top.eigenvalue.store(found), top.last.store(last);
        const double angle = std::numbers::pi / (n + 1);
        CHECK(std::abs(found[0] - (2 + 2 * std::cos(angle))) <= 32 * std::numeric_limits<T>::epsilon(), "%d rows: %g", n, double(found[0]));
        const double component = std::sqrt(2.0 / (n + 1)) * std::sin(angle);
        // The eigenvector is as sensitive as the distance to the next eigenvalue is small, which goes as 1/n^2.
        CHECK(std::abs(last[0] - component) <= 200 * n * std::numeric_limits<T>::epsilon() * component * n, "%d rows: %g is not %g", n, double(last[0]),
              component);
    }
}

// A lane that is not asked for, holds NaN or is 0 changes nothing in others.
void lanes_are_on_their_own() {
    using V = shoal::Lanes<double>;
    alignas(64) double numbers[V::count], open[V::count], found[V::count];
    std::fill_n(open, V::count, 1.0);
    open[V::count - 1] = 0;
    shoal::Tridiagonal<V> search(8);
    for (int row = 0; row < 3; ++row) {
        for (int lane = 0; lane < V::count; ++lane) numbers[lane] = lane == 0 ? -3.0 + row : 0.0;
        if (V::count > 2) numbers[1] = std::numeric_limits<double>::quiet_NaN();
        search.add(V::load(numbers), V(0.0));
    }
    search.top(V::load(open)).eigenvalue.store(found);
    CHECK(std::abs(found[0] + 1) < 1e-14, "of -3, -2, -1 it is %g", found[0]);
    if (V::count > 2) CHECK(std::isnan(found[1]), "NaN became %g", found[1]);
    if (V::count > 3) CHECK(found[2] == 0, "nothing became %g", found[2]);
}

}  // namespace

void run_tests() {
    std::vector<Matrix> matrices;
    for (const double size : {1.0, 1e-160, 1e150, 1e-30, 1e30}) {
        matrices.push_back({{size}, {size}});
        matrices.push_back({{-size, -2 * size}, {0.5 * size, 0}});                                              // negative definite
        matrices.push_back({{0, 0, 0}, {size, size, 0}});
        matrices.push_back({{size, -1e3 * size, 1e3 * size, 0}, {size, 1e-7 * size, 1e3 * size, 0}});
        Matrix fading{{}, {}};  // whose eigenvector has a last component far below the resolution
        for (int row = 0; row < 40; ++row) fading.diagonal.push_back(row == 0 ? size : 0.0), fading.beside.push_back(0.1 * size);
        matrices.push_back(fading);
    }
    matches<double>(matrices);
    std::erase_if(matrices, [](const Matrix& matrix) { return std::abs(matrix.diagonal[0] + matrix.beside[0]) > 1e33 || std::abs(matrix.beside[0]) < 1e-33; });
    matches<float>(matrices);
    knows_the_chain<double>();
    knows_the_chain<float>();
    lanes_are_on_their_own();
}
