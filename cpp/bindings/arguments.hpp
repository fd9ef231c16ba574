// Reads single arguments. Each one is converted, or raises a TypeError or ValueError that names it.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace py = pybind11;

namespace shoal::bindings {

template <class Number>
using Array = py::array_t<Number, py::array::c_style | py::array::forcecast>;

template <class Got>
void require(bool holds, const std::string& name, const std::string& allowed, const Got& got) {
    if (holds) return;
    std::ostringstream message;
    message.precision(17);
    message << name << " must be " << allowed << ", got " << got;
    throw py::value_error(message.str());
}

// The same of each of the numbers of an array or a vector; the message shows the first of which it does not hold.
template <class Numbers, class Holds>
void require_each(const Numbers& numbers, Holds&& holds, const std::string& name, const std::string& allowed) {
    const auto end = numbers.data() + numbers.size(), first = std::find_if_not(numbers.data(), end, holds);
    if (first != end) require(false, name, allowed, *first);
}

inline std::string shown(const std::vector<py::ssize_t>& shape) {
    std::string text = "(";
    for (const py::ssize_t length : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(length);
    return text + ")";
}

inline std::string type_of(const py::handle& given) { return py::str(py::type::handle_of(given).attr("__name__")); }

inline std::vector<py::ssize_t> shape_of(const py::array& array) { return {array.shape(), array.shape() + array.ndim()}; }

// Reads an array of integers if Number is integral, else one of integers or floating-point numbers.
template <class Number>
Array<Number> read_array(const py::handle& given, const std::string& name) {
    constexpr bool whole = std::is_integral_v<Number>;
    const std::string allowed = whole ? "an array of integers" : "an array of numbers";
    if (!py::isinstance<py::array>(given)) throw py::type_error(name + " must be " + allowed + ", got " + type_of(given));
    const auto array = py::reinterpret_borrow<py::array>(given);
    const char kind = array.dtype().kind();
    if (kind != 'i' && kind != 'u' && (whole || kind != 'f'))
        throw py::type_error(name + " must be " + allowed + ", got dtype " + std::string(py::str(array.dtype())));
    auto read = Array<Number>::ensure(array);
    if (!read) throw py::error_already_set();
    return read;
}

// The same, with a required shape; a negative length allows any.
template <class Number>
Array<Number> read_array(const py::handle& given, const std::string& name, const std::vector<py::ssize_t>& shape) {
    auto read = read_array<Number>(given, name);
    const auto found = shape_of(read);
    const bool fits = std::equal(found.begin(), found.end(), shape.begin(), shape.end(), [](py::ssize_t a, py::ssize_t b) { return b < 0 || a == b; });
    std::string allowed = shown(shape);
    for (std::size_t at; (at = allowed.find("-1")) != std::string::npos;) allowed.replace(at, 2, "any");
    require(fits, name, "of shape " + allowed, "shape " + shown(found));
    return read;
}

// The same; nullopt for None.
template <class Number>
std::optional<Array<Number>> read_array_or_none(const py::handle& given, const std::string& name, const std::vector<py::ssize_t>& shape) {
    if (given.is_none()) return {};
    return read_array<Number>(given, name, shape);
}

template <class Number>
const Number* data_or_null(const std::optional<Array<Number>>& array) {
    return array ? array->data() : nullptr;
}

template <class Number>
Array<Number> finite(Array<Number> array, const std::string& name) {
    require_each(array, [](Number number) { return std::isfinite(number); }, name, "finite");
    return array;
}

// Returns one entry of a dict of arguments.
inline py::object entry(const py::dict& dict, const std::string& of, const char* name) {
    if (!dict.contains(name)) throw py::value_error(of + " must hold '" + name + "'");
    return dict[name];
}

template <class Wanted>
Wanted read(const py::dict& dict, const std::string& of, const char* name) {
    const py::object given = entry(dict, of, name);
    try {
        return given.cast<Wanted>();
    } catch (const py::cast_error&) { throw py::type_error(of + "['" + name + "'] must not be of type " + type_of(given) + ", or holds what it must not"); }
}

// Returns a b, or raises a ValueError if it overflows.
inline std::int64_t times(std::int64_t a, std::int64_t b, const std::string& name) {
    std::int64_t product;
    if (__builtin_mul_overflow(a, b, &product))
        throw py::value_error(name + " must be small enough to be counted, got a product of " + std::to_string(a) + " and " + std::to_string(b));
    return product;
}

template <class Item>
void require_distinct(std::vector<Item> items, const std::string& name) {
    std::sort(items.begin(), items.end());
    const auto twice = std::adjacent_find(items.begin(), items.end());
    if (twice != items.end()) throw py::value_error(name + " must not repeat " + *twice);
}

}  // namespace shoal::bindings
