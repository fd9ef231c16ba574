// An array of packs, each one number for each of L lanes (lanes.hpp), aligned for whole-register loads.
#pragma once

#include "shoal/lanes.hpp"

#include <algorithm>
#include <vector>

namespace shoal {

template <AnyLanes V>
class Pack {
  public:
    using T = typename V::Scalar;
    static constexpr int apart = V::count;  // distance between consecutive numbers of a lane
    explicit Pack(std::int64_t numbers = 0) : storage_(numbers * V::count, T(0)) {}
    T* at(std::int64_t number) { return storage_.data() + number * V::count; }
    const T* at(std::int64_t number) const { return storage_.data() + number * V::count; }
    T& lane(std::int64_t number, int lane) { return storage_[number * V::count + lane]; }
    void clear() { std::fill(storage_.begin(), storage_.end(), T(0)); }
    void add(const Pack& other) {
        for (std::size_t n = 0; n < storage_.size(); n += V::count)
            (V::load(storage_.data() + n) + V::load(other.storage_.data() + n)).store(storage_.data() + n);
    }
    EIGEN_ALWAYS_INLINE V operator[](std::int64_t number) const { return V::load(at(number)); }

  private:
    std::vector<T, Eigen::aligned_allocator<T>> storage_;
};

}  // namespace shoal
